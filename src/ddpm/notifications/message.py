"""Notifications: one JSON document each, with `type`, `timestamp` and `data`."""

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
"""Characters of a text; the rest is cut off."""


@dataclass(frozen=True)
class Message:
    """One notification, without secrets. id: identical in all attempts to deliver it."""

    id: str
    content: Mapping[str, Any]

    @property
    def type(self) -> str:
        """The type, such as `ddpm.promoted`."""
        return str(self.content["type"])

    @property
    def body(self) -> bytes:
        """The bytes to sign and post: ASCII, so that they can contain a file name that is not UTF-8."""
        return json.dumps(self.content, allow_nan=False, separators=(",", ":")).encode()


def message(kind: Kind, model: str, text: str, *, identifier: str = "", **facts: Any) -> Message:
    """A notification with the present time.

    identifier: derived from the event, if a repetition must be recognisable; by default random. facts: JSON values such
    as version and reasons; None is left out.
    """
    data = {"model": model, "text": redacted(text)[:LONGEST], **facts}
    content = {
        "type": f"ddpm.{kind}",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    # Redacted before it is serialised, because JSON escapes the quotes that delimit addresses.
    return Message(identifier or str(uuid.uuid4()), redact.redact_json(content, redacted))


def champion_moved(move: "Move", page: str | None = None) -> Message | None:
    """The notification of a manual move, or None if nothing changed. page: address of the flow run, if there is one."""
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
