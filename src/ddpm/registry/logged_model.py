"""A version as a logged model of MLflow 3: in the list of models of experiment and run, with scores and parameters.

The entry has no files of its own: those of the version are artifacts of its run and are not stored twice, so models are
loaded by the address of the version, which the entry names.
"""

import json
import re
from typing import TYPE_CHECKING

from ddpm.registry.evidence import VERDICT_TAG
from ddpm.registry.versions import Version
from ddpm.tracking import store
from ddpm.tracking.log import log_metrics
from ddpm.tracking.names import CURVES, SCORES

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

ADDRESS_TAG = "Load"
"""Tag with the address of the version: what to load, and what identifies the entry."""
REFUSED = re.compile(r"""[/:.%"']""")
"""Characters that MLflow refuses in the name of a logged model, though not in that of a registered one."""


def show(connection: "MlflowClient", run: "Run", found: Version) -> None:
    """Create the entry of a version made by a run, or complete it. Safe to repeat."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    run_id = run.info.run_id
    metrics = [each for each in run.data.to_proto().metrics if each.key.startswith((CURVES, SCORES))]
    model = entry(connection, run, found)
    if model is None:
        with store.once():
            model = connection.create_logged_model(
                run.info.experiment_id, REFUSED.sub("_", found.name), run_id, {ADDRESS_TAG: _address(found)},
                dict(run.data.params),
            )  # fmt: skip
    log_metrics(
        connection, run_id,
        [Metric(each.key, each.value, each.timestamp, each.step, model_id=model.model_id, run_id=run_id)
         for each in metrics],
    )  # fmt: skip
    versions = json.dumps([{"name": found.name, "version": str(found.number)}])
    tags = {MLFLOW_MODEL_VERSIONS: versions, "Verdict": found.tags.get(VERDICT_TAG, "")}
    if new := {key: value for key, value in tags.items() if value and model.tags.get(key) != value}:
        connection.set_logged_model_tags(model.model_id, new)
    if model.status != LoggedModelStatus.READY:
        connection.finalize_logged_model(model.model_id, "READY")
    known = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [each.model_id for each in known]:
        step = max((each.step for each in metrics), default=0)
        connection.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])


def entry(connection: "MlflowClient", run: "Run", found: Version) -> "LoggedModel | None":
    """Return the entry of a version; None without one."""
    models = connection.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return next((each for each in models if each.tags.get(ADDRESS_TAG) == _address(found)), None)


def delete(connection: "MlflowClient", found: Version) -> None:
    """Delete the entry of a version, if there is one."""
    run = store.existing_run(connection, found.run_id) if found.run_id else None
    if run is not None and (model := entry(connection, run, found)) is not None:
        connection.delete_logged_model(model.model_id)


def _address(found: Version) -> str:
    return f"models:/{found.name}/{found.number}"
