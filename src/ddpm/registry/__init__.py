"""MLflow's registered versions: registration by content, the clean-process check, aliases, the audit trail.

Aliases: `candidate` is the version last put forward, `champion` the one in use, `previous` what the champion replaced.
Only `promote` and `rollback` move champion and previous, one process at a time, and write each move down first.
"""

from ddpm.registry.aliases import ALIASES, ConflictError, WithdrawnError, promote, rollback, withdrawn
from ddpm.registry.audit import Move, history
from ddpm.registry.by_hand import promote_by_hand
from ddpm.registry.evidence import judged, keep
from ddpm.registry.fetch import download, download_with_settings, require_files, resolve
from ddpm.registry.retention import prune
from ddpm.registry.verify import VerificationError, verify
from ddpm.registry.versions import RegistryError, Status, Version, annotate, register, status, version
from ddpm.serving.pack import content_sha256

__all__ = [
    "ALIASES",
    "ConflictError",
    "Move",
    "RegistryError",
    "Status",
    "VerificationError",
    "Version",
    "WithdrawnError",
    "annotate",
    "content_sha256",
    "download",
    "download_with_settings",
    "history",
    "judged",
    "keep",
    "promote",
    "promote_by_hand",
    "prune",
    "register",
    "require_files",
    "resolve",
    "rollback",
    "status",
    "verify",
    "version",
    "withdrawn",
]
