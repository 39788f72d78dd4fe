"""MLflow model versions: registration by content, verification in a clean process, aliases, audit trail.

Aliases: `candidate` is the version registered last, `champion` the one in use, `previous` the one that the champion
replaced. Only `promote` and `rollback` move champion and previous, one process at a time, and record each move first.
"""

from ddpm.registry.aliases import ALIASES, ConflictError, WithdrawnError, promote, rollback, withdrawn
from ddpm.registry.audit import Move, history
from ddpm.registry.card import describe
from ddpm.registry.download import address, download, download_with_settings, known_status, require_files, resolve
from ddpm.registry.evidence import load_evidence, save_evidence
from ddpm.registry.force_promote import force_promote
from ddpm.registry.registration import register
from ddpm.registry.rejected import RejectedRun, list_rejected, prune_rejected, summarise_rejected
from ddpm.registry.retention import prune
from ddpm.registry.verify import VerificationError, verify
from ddpm.registry.versions import RegistryError, Status, Version, annotate, status, version
from ddpm.serving.pack import content_sha256

__all__ = [
    "ALIASES",
    "ConflictError",
    "Move",
    "RegistryError",
    "RejectedRun",
    "Status",
    "VerificationError",
    "Version",
    "WithdrawnError",
    "address",
    "annotate",
    "content_sha256",
    "describe",
    "download",
    "download_with_settings",
    "force_promote",
    "history",
    "known_status",
    "list_rejected",
    "load_evidence",
    "promote",
    "prune",
    "prune_rejected",
    "register",
    "require_files",
    "resolve",
    "rollback",
    "save_evidence",
    "status",
    "summarise_rejected",
    "verify",
    "version",
    "withdrawn",
]
