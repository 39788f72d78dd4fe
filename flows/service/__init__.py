"""The retraining service: Prefect's and MLflow's servers, the deployments and their runner, kept running."""
