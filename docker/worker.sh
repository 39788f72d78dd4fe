#!/bin/sh
# The worker of a team: make the work pool if it is missing, record the deployment of this checkout, and take runs.
set -eu
prefect --no-prompt work-pool inspect ddpm >/dev/null 2>&1 || prefect --no-prompt work-pool create ddpm --type process
# Prefect 3.8.8 records it, then asks its server who works there in a form that the locked FastAPI refuses (422), and exits
# with 1: what counts is whether it was recorded.
said=$(prefect --no-prompt deploy --name retrain 2>&1) || case $said in
    *"Deployment 'retrain/retrain' successfully"*) ;;
    *) echo "$said" >&2; exit 1 ;;
esac
exec prefect --no-prompt worker start --pool ddpm --type process --limit 1 --with-healthcheck
