"""The result of a check."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """Result of one check: `missing` must be repaired, `note` is for information."""

    state: Status
    subject: str
    text: str
