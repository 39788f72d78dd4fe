"""The content of notifications: one JSON document for each, with `type`, `timestamp` and `data`."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ddpm.common import redact
from ddpm.notifications.settings import redacted

if TYPE_CHECKING:
    from ddpm.registry import Move

Kind = Literal["failed", "drift", "inconclusive", "promoted", "rolled-back", "approval-asked", "test"]
LONGEST = 8000
"""Characters of a text."""


@dataclass(frozen=True)
class Message:
    """One notification, without secrets. id: the same for all attempts to deliver it."""

    id: str
    content: Mapping[str, Any]

    @property
    def type(self) -> str:
        """Such as `ddpm.promoted`."""
        return str(self.content["type"])

    @property
    def body(self) -> bytes:
        """The bytes that are signed and posted: ASCII, so that a file name that is not UTF-8 can be in them."""
        return json.dumps(self.content, allow_nan=False, separators=(",", ":")).encode()


def message(kind: Kind, model: str, text: str, *, identifier: str = "", **facts: Any) -> Message:
    """A notification of now.

    identifier: for what must not be notified twice, one that is derived from it; otherwise random. facts: plain JSON
    values, such as version and reasons; None is left out.
    """
    data = {"model": model, "text": redacted(text)[:LONGEST], **facts}
    content = {
        "type": f"ddpm.{kind}",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    # Before serialising: JSON escapes the quotes by which an address is recognised.
    return Message(identifier or str(uuid.uuid4()), redact.each(content, redacted))


def champion_moved(move: "Move", page: str | None = None) -> Message | None:
    """The notification of a move by hand, or None when nothing changed. page: of the flow run, if there is one."""
    if not move.changed:
        return None
    facts: dict[str, Any] = {
        "version": move.target,
        "before": move.origin,
        "who": move.who,
        "reasons": [move.why],
        "page": page,
    }
    return message("promoted" if move.kind == "promote" else "rolled-back", move.name, str(move), **facts)
