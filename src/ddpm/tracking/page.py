"""MLflow's pages: the server over the record of this checkout, and the address of a run on a named server."""

import uuid
from urllib.parse import quote

from ddpm.common.redact import redact_address
from ddpm.tracking import store

APPLICATION = "mlflow.server.fastapi_app:app"
APPLICATION_WITH_USERS = "mlflow.server.auth:create_app()"


def environment(address: str) -> dict[str, str]:
    """The environment in which MLflow's application serves the record at `address`, as `mlflow server` sets it.

    The database's address is not for the command line, which everybody sees: it may hold a password.
    """
    store.quiet()
    from mlflow.server import constants

    database = store.tracking_uri()
    return {
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.REGISTRY_STORE_URI_ENV_VAR: database,
        constants.ARTIFACT_ROOT_ENV_VAR: store.artifact_root().as_uri(),
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: "./mlartifacts",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(_hosts(address)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{address}",
        "MLFLOW_SERVER_X_FRAME_OPTIONS": "SAMEORIGIN",
    }


def run_page(run_id: str) -> str:
    """The address of a run's page on the server that MLFLOW_TRACKING_URI names; "" for a database or an unknown run."""
    server = redact_address(store.tracking_uri()).rstrip("/")
    if not server.startswith(("http://", "https://")):
        return ""
    run = store.existing_run(store.client(), run_id)
    if run is None:
        return ""
    return f"{server}/#/experiments/{quote(run.info.experiment_id, safe='')}/runs/{quote(run_id, safe='')}"


def run_tags(run_id: str) -> dict[str, str]:
    """The tags of a run; empty for an unknown run."""
    run = store.existing_run(store.client(), run_id)
    return {} if run is None else dict(run.data.tags)


def _hosts(address: str) -> tuple[str, ...]:
    """The names under which a server at `address` may be asked."""
    host, _, port = address.rpartition(":")
    return (address, f"localhost:{port}") if host == "127.0.0.1" else (address,)
