"""MLflow runs: the record of every training. Spool first, ship later: training never waits for it or fails by it.

`Tracker` is what the trainer writes to; `replay` and `complete` bring the record up to date afterwards.
"""

from ddpm.common.redact import redact_text
from ddpm.provenance.machine import MACHINE_TAGS, machine
from ddpm.provenance.patch import Changes, changes
from ddpm.provenance.tags import LINEAGE_TAGS, lineage
from ddpm.tracking.add_artifacts import add_artifacts
from ddpm.tracking.data_record import (
    data_record_files,
    download_data_record,
    prepared_sha256,
    prepared_tags,
    record_dataset,
    record_drift,
)
from ddpm.tracking.outputs import record_outputs
from ddpm.tracking.page import run_page, run_tags
from ddpm.tracking.record import close_abandoned, complete
from ddpm.tracking.spool import SPOOLS, Spool
from ddpm.tracking.store import TrackingError, TrackingUnavailableError, client, friendly_errors, tracking_uri
from ddpm.tracking.sync import replay, run_of, tag_training
from ddpm.tracking.tracker import Tracker

__all__ = [
    "LINEAGE_TAGS",
    "MACHINE_TAGS",
    "SPOOLS",
    "Changes",
    "Spool",
    "Tracker",
    "TrackingError",
    "TrackingUnavailableError",
    "add_artifacts",
    "changes",
    "client",
    "close_abandoned",
    "complete",
    "data_record_files",
    "download_data_record",
    "friendly_errors",
    "lineage",
    "machine",
    "prepared_sha256",
    "prepared_tags",
    "record_dataset",
    "record_drift",
    "record_outputs",
    "redact_text",
    "replay",
    "run_of",
    "run_page",
    "run_tags",
    "tag_training",
    "tracking_uri",
]
