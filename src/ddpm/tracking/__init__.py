"""MLflow runs: the record of every training. Spool first, ship later: training never waits for it or fails by it.

`Tracker` is what the trainer writes to; `replay` and `complete` bring the record up to date afterwards.
"""

from ddpm.common.redact import shown
from ddpm.provenance.machine import MACHINE_TAGS, machine
from ddpm.provenance.patch import Changes, changes
from ddpm.provenance.tags import LINEAGE_TAGS, lineage
from ddpm.tracking.attach import attach
from ddpm.tracking.behind import fetch, kept, note_drift, prepared_sha256, prepared_tags
from ddpm.tracking.record import complete, reconcile
from ddpm.tracking.ship import replay, run_of
from ddpm.tracking.spool import SPOOLS, Spool
from ddpm.tracking.store import TrackingError, TrackingUnavailableError, client, friendly_errors, tracking_uri
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
    "attach",
    "changes",
    "client",
    "complete",
    "fetch",
    "friendly_errors",
    "kept",
    "lineage",
    "machine",
    "note_drift",
    "prepared_sha256",
    "prepared_tags",
    "reconcile",
    "replay",
    "run_of",
    "shown",
    "tracking_uri",
]
