"""The audit trail: every move of the champion, kept in MLflow so that it travels with the server.

One run per move in the experiment `<name>-audit`. It is written before the aliases move (RUNNING: an intention) and
closed after (FINISHED: done); a move whose process died in between is found by the next one and brought to its end.
Nothing here changes or deletes a closed entry.
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
"""Of a run's status; any other is a move that its process has not closed."""
PREFIX = "ddpm.audit."
PAGE = 1000


@dataclass(frozen=True)
class Move:
    """One line of the trail. outcome: done; unfinished (its process works, or died); superseded (never happened)."""

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
        """A total order: two machines that share no lock may have given one number twice."""
        return self.sequence, self.run_id

    def __str__(self) -> str:
        """`promote: champion of digits is version 2 (was 1)`."""
        was = f"was {self.origin}" if self.origin else "the first"
        if not self.changed:
            return f"champion of {self.name} is version {self.target} already; nothing changed"
        return f"{self.kind}: champion of {self.name} is version {self.target} ({was})"


def current_user() -> str:
    """Who is acting: user and machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def history(name: str) -> list[Move]:
    """The whole trail, oldest first."""
    return moves(store.client(), name)


def moves(connection: "MlflowClient", name: str) -> list[Move]:
    """The trail through an open client."""
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
    entries = [run for run in runs if any(tag.startswith(PREFIX) for tag in run.data.tags)]  # others are not moves
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
    """Record a move before it happens, as an open entry."""
    sequence = 1 + max((move.sequence for move in moves(connection, name)), default=0)
    facts = {"sequence": sequence, "kind": kind, "from": origin or "", "to": target, "who": current_user(), "why": why}
    trail = store.experiment(connection, experiment_name(name))
    tags = {f"{PREFIX}{key}": str(value) for key, value in facts.items()}
    with store.once():
        run = connection.create_run(trail, tags=tags, run_name=f"{sequence:04d}-{kind}-{target}")
    connection.log_dict(run.info.run_id, dict(evidence), "evidence.json")
    return _move(name, run)


def outcome(connection: "MlflowClient", move: Move) -> Outcome:
    """The outcome of a move as the trail has it now."""
    return OUTCOMES.get(connection.get_run(move.run_id).info.status, "unfinished")


def close(connection: "MlflowClient", move: Move, *, done: bool) -> None:
    """Close an open entry: the move is done, or superseded by another."""
    connection.set_terminated(move.run_id, "FINISHED" if done else "FAILED")


def experiment_name(name: str) -> str:
    """Where the trail of a model is kept."""
    return f"{name}-audit"


def _move(name: str, run: "Run") -> Move:
    try:
        return _read(name, run)
    except (KeyError, ValueError) as error:
        raise store.TrackingError(
            f"run {run.info.run_id} in the experiment {experiment_name(name)} is damaged, or is not an entry of the "
            f"audit trail ({error!r}). Look at its tags `{PREFIX}...`; delete the run if it is none of ours."
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
