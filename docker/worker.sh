#!/bin/sh
# The worker of a team: make the work pool if it is missing, record the deployments of this checkout, and take runs: one
# works at a time, the others say that they were skipped.
set -eu
prefect --no-prompt work-pool inspect ddpm >/dev/null 2>&1 || prefect --no-prompt work-pool create ddpm --type process
prefect --no-prompt deploy --name retrain --name promote --name rollback
exec prefect --no-prompt worker start --pool ddpm --type process --limit 16 --with-healthcheck
