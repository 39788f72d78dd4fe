"""Promotion and rollback of the champion: compare-and-set, recorded in advance, completed by others after a crash.

A promotion makes the old champion `previous`. A rollback returns to `previous` (or to any version) and removes the
alias `previous`, so a repeated rollback changes nothing. The version that was rolled back is withdrawn: the gate does
not promote it again, only `force` does.

The lock serialises processes that share it. Processes that do not (two machines without a common Prefect server) are
serialised by the audit trail: each records its move, then reads the trail, and continues only if no other move is open
and the champion is unchanged. Each records before it reads, so at least one of two concurrent movers sees the other.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddpm.registry import audit
from ddpm.registry.audit import Move
from ddpm.registry.lock import Held, LostLockError, RegistryLock, file_lock, lost
from ddpm.registry.verify import verify
from ddpm.registry.versions import WITHDRAWN_TAG, RegistryError, annotate, status, version
from ddpm.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIASES = ("champion", "candidate", "previous")
GRACE = 60.0
"""Seconds after which the process of an open move on a shared server is considered dead."""
PAUSE = 0.2


class ConflictError(RegistryError):
    """The champion is not the expected one, or another machine is moving it at this moment."""


class WithdrawnError(RegistryError):
    """The version was rolled back before, so only `force` promotes it again."""


class OvertakenError(LostLockError):
    """Another process considered this one dead and closed its move."""


def promote(
    name: str,
    number: int,
    *,
    why: str,
    expected_champion: int | None,
    evidence: Mapping[str, Any] | None = None,
    force: bool = False,
    lock: RegistryLock = file_lock,
) -> Move:
    """Make a version the champion, provided that the champion still is `expected_champion` (None: no champion).

    An unverified version is first loaded and sampled in a clean process. Promoting the champion again changes nothing.
    Raises RegistryError, ConflictError, WithdrawnError (unless `force`), VerificationError, LockBusyError,
    LostLockError.
    """
    chosen = version(name, number)
    reason = chosen.tags.get(WITHDRAWN_TAG)
    if reason and not force:
        raise WithdrawnError(
            f"version {number} of {name} was rolled back ({reason}); only `ddpm promote` makes it the champion again"
        )
    if not chosen.verified:
        verify(name, number)
    connection = store.client()
    with lock(name) as held:
        finish_pending_moves(connection, held)
        champion = _champion(name)
        if champion == number:
            return _unchanged(name, "promote", number, why)
        if champion != expected_champion:
            raise _conflict(name, number, expected_champion, champion)
        return _carry_out(connection, held, "promote", champion, number, why, evidence or {})


def rollback(name: str, to: int | None = None, *, why: str = "", lock: RegistryLock = file_lock) -> Move:
    """Make `previous`, or version `to`, the champion again; a repeated call changes nothing. Raises as `promote`."""
    connection = store.client()
    if to is not None and not version(name, to).verified:
        verify(name, to)
    with lock(name) as held:
        finish_pending_moves(connection, held)
        aliases = status(name).aliases
        champion = aliases.get("champion")
        if champion is None:
            raise RegistryError(f"{name} has no champion, so there is nothing to roll back")
        target = to if to is not None else aliases.get("previous")
        if target is None and _last_was_rollback(connection, name):
            target = champion
        if target is None:
            raise RegistryError(f"{name} has had no champion but version {champion}. Name another: --to VERSION.")
        if target == champion:
            return _unchanged(name, "rollback", target, why)
        return _carry_out(connection, held, "rollback", champion, target, why, {})


def withdrawn(name: str, number: int) -> str | None:
    """Return the reason for which a version was rolled back, or None."""
    return version(name, number).tags.get(WITHDRAWN_TAG)


def finish_pending_moves(connection: "MlflowClient", held: Held, mine: Move | None = None) -> bool:
    """Wait for moves in progress on other machines, and finish those whose process died.

    mine: the caller's own open move. Returns False at once if another open move precedes it in the trail: of two
    movers that see each other, only the later one gives way.
    """
    seen: list[Move] = []
    since = time.monotonic()
    while pending := _open_moves(connection, held.name, mine):
        if mine is not None and min(each.order for each in pending) < mine.order:
            return False
        if pending != seen:
            seen, since = pending, time.monotonic()
        if store.embedded() or time.monotonic() - since >= GRACE:
            for each in pending:
                _finish(connection, held, each)
        else:
            time.sleep(PAUSE)
    return True


def _open_moves(connection: "MlflowClient", name: str, mine: Move | None) -> list[Move]:
    """List the open moves other than `mine`."""
    unfinished = [each for each in audit.moves(connection, name) if each.outcome == "unfinished"]
    return [each for each in unfinished if mine is None or each.run_id != mine.run_id]


def _finish(connection: "MlflowClient", held: Held, move: Move) -> None:
    """Complete a recorded move whose process died.

    The move is superseded if the champion is neither its origin nor its target: another process moved it since.
    """
    valid = _champion(held.name) in {move.origin, move.target}
    with contextlib.suppress(OvertakenError):
        if valid:
            _move_aliases(connection, held, move)
        _close(connection, held, move, done=valid)


def _carry_out(
    connection: "MlflowClient",
    held: Held,
    kind: audit.Kind,
    origin: int | None,
    target: int,
    why: str,
    evidence: Mapping[str, Any],
) -> Move:
    """Record the move, set the aliases, close the record: after a crash at any point the next mover completes it."""
    held.require()
    move = audit.record_move(connection, held.name, kind, origin, target, why, evidence)
    first = finish_pending_moves(connection, held, move)
    champion = _champion(held.name)
    if not first or champion != origin:
        _close(connection, held, move, done=False)
        raise _conflict(held.name, target, origin, champion)
    _move_aliases(connection, held, move)
    _close(connection, held, move, done=True)
    return replace(move, outcome="done")


def _move_aliases(connection: "MlflowClient", held: Held, move: Move) -> None:
    """Set the aliases and tags of a move. Every write is idempotent."""
    name, aliases = move.name, status(move.name).aliases
    if move.kind == "promote" and move.origin is not None:
        _require(connection, held, move)
        connection.set_registered_model_alias(name, "previous", str(move.origin))
    if withdrawn(name, move.target):
        _require(connection, held, move)
        connection.delete_model_version_tag(name, str(move.target), WITHDRAWN_TAG)
    _require(connection, held, move)
    connection.set_registered_model_alias(name, "champion", str(move.target))
    if move.kind == "rollback":
        _require(connection, held, move)
        if "previous" in aliases:
            connection.delete_registered_model_alias(name, "previous")
        if move.origin is not None:
            annotate(name, move.origin, {WITHDRAWN_TAG: move.why or "rolled back"})


def _close(connection: "MlflowClient", held: Held, move: Move, *, done: bool) -> None:
    _require(connection, held, move)
    audit.close(connection, move, done=done)


def _require(connection: "MlflowClient", held: Held, move: Move) -> None:
    """Raise LostLockError if the lock is lost or another process has closed the move."""
    held.require()
    if audit.outcome(connection, move) != "unfinished":
        raise OvertakenError(lost(move.name, "another process has closed its move"))


def _last_was_rollback(connection: "MlflowClient", name: str) -> bool:
    done = [move for move in audit.moves(connection, name) if move.outcome == "done"]
    return bool(done) and done[-1].kind == "rollback"


def _unchanged(name: str, kind: audit.Kind, number: int, why: str) -> Move:
    """Build the result of a call that changes nothing; it is not recorded."""
    now = datetime.now(UTC)
    return Move(name, 0, kind, number, number, audit.current_user(), now, why, "done", run_id="", changed=False)


def _champion(name: str) -> int | None:
    return status(name).aliases.get("champion")


def _conflict(name: str, number: int, expected: int | None, champion: int | None) -> ConflictError:
    if champion == expected:
        happened = f"another process began to move the champion of {name} at the same time"
    else:
        happened = f"the champion of {name} is {_named(champion)} now, not {_named(expected)}: it was moved meanwhile"
    return ConflictError(f"{happened}. Version {number} did not become the champion; decide again (`ddpm status`).")


def _named(number: int | None) -> str:
    return f"version {number}" if number is not None else "none"
