"""Judged versions of a registered model, each with an MLflow run of its own and without files of a model."""

from ddpm import tracking
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG


def judged(name: str, *verdicts: str) -> list[str]:
    """Register a version for each verdict, the last as candidate; return the IDs of their runs."""
    connection, runs = tracking.client(), []
    connection.create_registered_model(name)
    for number, verdict in enumerate(verdicts, 1):
        runs.append(tracking.complete(f"{number:064}", {"fid": 30.0}))
        tags = {CONTENT_TAG: str(number), VERIFIED_TAG: "{}", "ddpm.verdict": verdict}
        source = f"{connection.get_run(runs[-1]).info.artifact_uri}/models/{number}"
        connection.create_model_version(name, source, runs[-1], tags=tags)
    connection.set_registered_model_alias(name, "candidate", str(len(verdicts)))
    return runs


def exists(run_id: str) -> bool:
    """Return True for a run that is not deleted."""
    stage: str = tracking.client().get_run(run_id).info.lifecycle_stage
    return stage == "active"
