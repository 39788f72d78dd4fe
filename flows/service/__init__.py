"""The service: Prefect's and MLflow's servers, the deployments and their runner, and their supervision."""
