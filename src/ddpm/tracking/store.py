"""Location of MLflow's record: the server that `MLFLOW_TRACKING_URI` names, or a database of this checkout."""

import contextlib
import functools
import http.client
import os
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm.common import addresses, environment
from ddpm.common.locks import locked
from ddpm.common.redact import redact_text
from ddpm.tracking.uri import fault, normalised

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EMBEDDED = Path(".state/mlflow")
PROBE_SECONDS = 5.0
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of a new experiment, by which MLflow's page shows trainings and not the tools for language models."""


class TrackingError(ValueError):
    """The record cannot be used; the message gives the reason and the remedy."""


class TrackingUnavailableError(TrackingError):
    """MLflow does not answer now. What was meant for it is kept, and it may answer later."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` in its normal form, or the embedded SQLite database as an absolute URI."""
    return normalised(os.environ.get("MLFLOW_TRACKING_URI", "")) or addresses.sqlite(database())


def embedded() -> bool:
    """Return True if the record is the embedded database of this checkout."""
    return tracking_uri() == addresses.sqlite(database())


def artifact_root() -> Path:
    """Return the folder in which the embedded record keeps its files."""
    return EMBEDDED.resolve() / "artifacts"


def experiment_name() -> str:
    """`MLFLOW_EXPERIMENT_NAME`, or `ddpm`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ddpm"


def quiet() -> None:
    """Switch off what MLflow does unasked: telemetry, update checks, pickle, chatter, jobs. Before its import.

    It reads proxies and `MLFLOW_TRACKING_URI` from the environment by itself, so both are put right there.
    """
    environment.complete()
    if os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    for key, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_UV_AUTO_DETECT": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes beside its server, for judging texts
    }.items():
        os.environ.setdefault(key, value)


def client() -> "MlflowClient":
    """A client of the record; the embedded database is created when missing.

    Raises TrackingError when the address cannot name a record, and TrackingUnavailableError, within seconds, when a
    server is named and does not answer.
    """
    uri = tracking_uri()
    if wrong := fault(uri):
        raise TrackingError(wrong)
    quiet()
    probe(uri)
    if embedded():
        _create_database(database())
    return _client(uri)


def existing_run(connection: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run of the record, deleted or not; None if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return connection.get_run(run_id)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:  # the latter: no ID of a run
            return None
        raise


@functools.lru_cache(maxsize=8)
def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    with _database_answers(uri):
        _probe_database(uri)
        return MlflowClient(tracking_uri=uri)


def probe(uri: str) -> None:
    """Ask a server whether it is there; any answer counts. Raises TrackingUnavailableError."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{redact_text(uri).rstrip('/')}/health", timeout=PROBE_SECONDS):  # noqa: S310 - http(s), see above
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TrackingUnavailableError(
            f"MLflow at {redact_text(uri)} does not answer ({redact_text(str(error))}). Start it, or correct "
            "MLFLOW_TRACKING_URI, or unset it to use the embedded record."
        ) from error


def _probe_database(uri: str) -> None:
    """Connect once to a database server: MLflow itself would try for two minutes."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    if not uri.startswith(("postgresql", "mysql")):
        return
    limit = {} if "connect_timeout" in make_url(uri).query else {"connect_timeout": int(PROBE_SECONDS)}
    engine = create_engine(uri, connect_args=limit)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@contextlib.contextmanager
def _database_answers(uri: str) -> Iterator[None]:
    """Errors of a database at the first connection as TrackingUnavailableError."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise TrackingUnavailableError(
            f"MLflow's database {redact_text(uri)} cannot be used ({redact_text(reason)}). Start it, or correct "
            "MLFLOW_TRACKING_URI, or unset it to use the embedded record."
        ) from error


def experiment(connection: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, created when missing. Raises TrackingError when it was deleted."""
    from mlflow.exceptions import MlflowException

    found = connection.get_experiment_by_name(name)
    if found is None:
        location = f"{artifact_root().as_uri()}/{name}" if embedded() else None
        try:
            return str(connection.create_experiment(name, artifact_location=location, tags=KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = connection.get_experiment_by_name(name)  # another process was faster
    if found is None or found.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment {name} was deleted. Restore it in MLflow, or name another in MLFLOW_EXPERIMENT_NAME."
        )
    return str(found.experiment_id)


@contextlib.contextmanager
def friendly_errors() -> Iterator[None]:
    """MLflow's own errors inside the block as TrackingError, so that a command can show them without a traceback."""
    try:
        yield
    except Exception as error:
        exceptions = sys.modules.get("mlflow.exceptions")  # its import takes a second; without it, nothing has raised
        if exceptions is None or not isinstance(error, exceptions.MlflowException):
            raise
        raise TrackingError(f"MLflow at {redact_text(tracking_uri())} says: {redact_text(error.message)}") from error


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Use short HTTP time limits during the block (they are settings of the process), unless the user has set some."""
    limits = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    with _settings({key: value for key, value in limits.items() if key not in os.environ}):
        yield


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Send requests that create a run or a version only once: MLflow's client repeats a request whose answer was lost.

    The server may have made it by then, and would make another. Whoever comes next looks for it first.
    """
    with _settings({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
        yield


@contextlib.contextmanager
def _settings(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables during the block."""
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def database() -> Path:
    """The file of the embedded database."""
    return EMBEDDED.resolve() / "mlflow.db"


def _create_database(path: Path) -> None:
    """Create the database under another name first, so that one killed half-way is never mistaken for a whole one."""
    if path.exists():
        return
    with locked(path.with_suffix(".lock"), "another process is creating MLflow's database", patience=120):
        if path.exists():
            return
        for leftover in path.parent.glob(".new-*.db*"):
            leftover.unlink()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        temporary = path.with_name(f".new-{uuid.uuid4().hex}.db")
        # With a root of its own: the default, a folder here, goes into MLflow's SQL without escapes for its quotes.
        SqlAlchemyStore(addresses.sqlite(temporary), artifact_root().as_uri())  # type: ignore[no-untyped-call]
        os.replace(temporary, path)
