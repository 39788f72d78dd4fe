"""Moving the champion: compare-and-set under a lock, written down first, convergent after a crash at any point.

A promotion makes the old champion `previous`. A rollback goes back to `previous` (or to any version) and leaves no
`previous`: undoing again changes nothing, so it is safe to repeat. The version that was rolled back is withdrawn: it is
not promoted again unless a person insists.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddpm.registry import audit
from ddpm.registry.audit import Move
from ddpm.registry.lock import Held, registry_lock
from ddpm.registry.verify import verify
from ddpm.registry.versions import WITHDRAWN_TAG, RegistryError, annotate, status, version
from ddpm.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIASES = ("champion", "candidate", "previous")


class ConflictError(RegistryError):
    """The champion is no longer the one that the decision was made against."""


class WithdrawnError(RegistryError):
    """The version was rolled back before; only a person promotes it again."""


def promote(
    name: str,
    number: int,
    *,
    why: str,
    expected_champion: int | None,
    evidence: Mapping[str, Any] | None = None,
    insist: bool = False,
) -> Move:
    """Make a version the champion, if the champion still is `expected_champion` (None: there is none).

    The version is loaded and sampled in a clean process first, unless that was done before. Promoting the champion
    again changes nothing. Raises RegistryError, ConflictError, WithdrawnError (not with `insist`), VerificationError.
    """
    chosen = version(name, number)
    reason = chosen.tags.get(WITHDRAWN_TAG)
    if reason and not insist:
        raise WithdrawnError(f"version {number} of {name} was rolled back ({reason}); only a person promotes it again")
    if not chosen.verified:
        verify(name, number)
    connection = store.client()
    with registry_lock(name) as held:
        settle(connection, held)
        champion = status(name).aliases.get("champion")
        if champion == number:
            return _unchanged(name, "promote", number, why)
        if champion != expected_champion:
            raise ConflictError(
                f"the champion of {name} is {_named(champion)} now, not {_named(expected_champion)}: somebody else "
                f"moved it. Version {number} was not promoted; decide again (`ddpm status`)."
            )
        return _carry_out(connection, held, "promote", champion, number, why, evidence or {})


def rollback(name: str, to: int | None = None, *, why: str = "") -> Move:
    """Make `previous` the champion again, or version `to`. Repeating it changes nothing. Raises RegistryError."""
    connection = store.client()
    if to is not None and not version(name, to).verified:
        verify(name, to)
    with registry_lock(name) as held:
        settle(connection, held)
        aliases = status(name).aliases
        champion = aliases.get("champion")
        if champion is None:
            raise RegistryError(f"{name} has no champion, so there is nothing to roll back")
        target = to if to is not None else aliases.get("previous")
        if target is None and _last_was_rollback(connection, name):
            target = champion
        if target is None:
            raise RegistryError(f"{name} has only had version {champion} as champion. Name another: --to VERSION.")
        if target == champion:
            return _unchanged(name, "rollback", target, why)
        return _carry_out(connection, held, "rollback", champion, target, why, {})


def withdrawn(name: str, number: int) -> str | None:
    """Why a version was rolled back, or None."""
    return version(name, number).tags.get(WITHDRAWN_TAG)


def settle(connection: "MlflowClient", held: Held) -> None:
    """Bring moves whose process died to their end. The decision was made and written down: it is carried out.

    If the champion is neither where the move started nor where it led, somebody else has moved it since: superseded.
    """
    for move in audit.moves(connection, held.name):
        if move.outcome == "unfinished":
            champion = status(held.name).aliases.get("champion")
            alive = champion in {move.origin, move.target}
            if alive:
                _move_aliases(connection, move, held)
            held.require()
            audit.close(connection, move, done=alive)


def _carry_out(
    connection: "MlflowClient",
    held: Held,
    kind: audit.Kind,
    origin: int | None,
    target: int,
    why: str,
    evidence: Mapping[str, Any],
) -> Move:
    """Intention, aliases, done: in this order, so that after a crash between any two the next move finishes it."""
    held.require()
    move = audit.intend(connection, held.name, kind, origin, target, why, evidence)
    _move_aliases(connection, move, held)
    held.require()
    audit.close(connection, move, done=True)
    return replace(move, outcome="done")


def _move_aliases(connection: "MlflowClient", move: Move, held: Held) -> None:
    """Every write here may be repeated without harm."""
    name, aliases = move.name, status(move.name).aliases
    if move.kind == "promote" and move.origin is not None:
        held.require()
        connection.set_registered_model_alias(name, "previous", str(move.origin))
    if withdrawn(name, move.target):
        connection.delete_model_version_tag(name, str(move.target), WITHDRAWN_TAG)
    held.require()
    connection.set_registered_model_alias(name, "champion", str(move.target))
    if move.kind == "rollback":
        held.require()
        if "previous" in aliases:
            connection.delete_registered_model_alias(name, "previous")
        if move.origin is not None:
            annotate(name, move.origin, {WITHDRAWN_TAG: move.why or "rolled back"})


def _last_was_rollback(connection: "MlflowClient", name: str) -> bool:
    done = [move for move in audit.moves(connection, name) if move.outcome == "done"]
    return bool(done) and done[-1].kind == "rollback"


def _unchanged(name: str, kind: audit.Kind, number: int, why: str) -> Move:
    """Nothing moved, so nothing is written down."""
    now = datetime.now(UTC)
    return Move(name, 0, kind, number, number, audit.person(), now, why, "done", run_id="", changed=False)


def _named(number: int | None) -> str:
    return f"version {number}" if number is not None else "none"
