#!/bin/sh
# The worker of a team: make the work pool if it is missing, record the deployment of this checkout, and take runs.
set -eu
prefect --no-prompt work-pool inspect ddpm >/dev/null 2>&1 || prefect --no-prompt work-pool create ddpm --type process
prefect --no-prompt deploy --name retrain
exec prefect --no-prompt worker start --pool ddpm --type process --limit 1 --with-healthcheck
