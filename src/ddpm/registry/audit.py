"""The audit trail: every move of the champion, kept on the MLflow server.

Each move is a run in the experiment `<name>-audit`. It is created before the aliases change (RUNNING) and closed after
(FINISHED); if its process died in between, the next mover completes it. Closed entries are never changed or deleted.
"""

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ddpm.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Kind = Literal["promote", "rollback"]
KINDS: dict[str, Kind] = {"promote": "promote", "rollback": "rollback"}
Outcome = Literal["done", "unfinished", "superseded"]
OUTCOMES: dict[str, Outcome] = {"FINISHED": "done", "FAILED": "superseded"}
"""Outcome by run status; any other status is an open move."""
PREFIX = "ddpm.audit."
PAGE = 1000


@dataclass(frozen=True)
class Move:
    """One entry of the trail. outcome: done; unfinished (in progress, or its process died); superseded (not made)."""

    name: str
    sequence: int
    kind: Kind
    origin: int | None
    target: int
    who: str
    when: datetime
    why: str
    outcome: Outcome
    run_id: str
    changed: bool = True

    @property
    def order(self) -> tuple[int, str]:
        """Sort key; machines without a common lock may have assigned the same sequence number twice."""
        return self.sequence, self.run_id

    def __str__(self) -> str:
        """`promote: champion of digits is version 2 (was 1)`."""
        was = f"was {self.origin}" if self.origin else "the first"
        if not self.changed:
            return f"champion of {self.name} is version {self.target} already; nothing changed"
        return f"{self.kind}: champion of {self.name} is version {self.target} ({was})"


def current_user() -> str:
    """Return `user@machine` of this process."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def history(name: str) -> list[Move]:
    """Return the whole trail, oldest first."""
    return moves(store.client(), name)


def moves(connection: "MlflowClient", name: str) -> list[Move]:
    """Return the trail, oldest first, through an open client."""
    found = connection.get_experiment_by_name(experiment_name(name))
    if found is None:
        return []
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = connection.search_runs([found.experiment_id], max_results=PAGE, page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            break
    entries = [run for run in runs if any(tag.startswith(PREFIX) for tag in run.data.tags)]
    return sorted((_move(name, run) for run in entries), key=lambda move: (move.sequence, move.when))


def record_move(
    connection: "MlflowClient",
    name: str,
    kind: Kind,
    origin: int | None,
    target: int,
    why: str,
    evidence: Mapping[str, Any],
) -> Move:
    """Record a move as an open entry, before any alias changes."""
    sequence = 1 + max((move.sequence for move in moves(connection, name)), default=0)
    facts = {"sequence": sequence, "kind": kind, "from": origin or "", "to": target, "who": current_user(), "why": why}
    trail = store.experiment(connection, experiment_name(name))
    tags = {f"{PREFIX}{key}": str(value) for key, value in facts.items()}
    with store.once():
        run = connection.create_run(trail, tags=tags, run_name=f"{sequence:04d}-{kind}-{target}")
    connection.log_dict(run.info.run_id, dict(evidence), "evidence.json")
    return _move(name, run)


def outcome(connection: "MlflowClient", move: Move) -> Outcome:
    """Return the current outcome of a move."""
    return OUTCOMES.get(connection.get_run(move.run_id).info.status, "unfinished")


def close(connection: "MlflowClient", move: Move, *, done: bool) -> None:
    """Close an open entry as done or superseded."""
    connection.set_terminated(move.run_id, "FINISHED" if done else "FAILED")


def experiment_name(name: str) -> str:
    """Return the name of the experiment that holds the trail of a model."""
    return f"{name}-audit"


def _move(name: str, run: "Run") -> Move:
    try:
        return _read(name, run)
    except (KeyError, ValueError) as error:
        raise store.TrackingError(
            f"run {run.info.run_id} in the experiment {experiment_name(name)} is not a valid entry of the audit trail "
            f"({error!r}). Check its tags `{PREFIX}...`; delete the run if another program made it."
        ) from error


def _read(name: str, run: "Run") -> Move:
    facts = {key.removeprefix(PREFIX): value for key, value in run.data.tags.items() if key.startswith(PREFIX)}
    return Move(
        name=name,
        sequence=int(facts["sequence"]),
        kind=KINDS[facts["kind"]],
        origin=int(facts["from"]) if facts["from"] else None,
        target=int(facts["to"]),
        who=facts["who"],
        when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        why=facts["why"],
        outcome=OUTCOMES.get(run.info.status, "unfinished"),
        run_id=run.info.run_id,
    )
