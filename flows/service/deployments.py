"""Moves of the champion as flows, for Prefect's page: the equivalents of `ddpm promote` and `ddpm rollback`."""

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.context import get_run_context
from prefect.states import Completed

from ddpm.config import params
from flows import notify, run_liveness
from flows.registry_lock import registry_lock

if TYPE_CHECKING:
    from ddpm.registry import Move


@flow(name="promote", flow_run_name="promote-{version}", persist_result=False, on_crashed=[notify.send_failure])
def promote(version: int, why: str) -> State[None]:
    """Make a version the champion, regardless of the gate's verdict.

    version: its number in the registry. why: the reason, for the audit trail.
    """
    from ddpm import registry

    run_liveness.hold_liveness_lock()
    log = get_run_logger().info
    return _finish(registry.force_promote(params.model_name(), version, _with_run(why), log, lock=registry_lock))


@flow(name="rollback", flow_run_name="rollback", persist_result=False, on_crashed=[notify.send_failure])
def rollback(to: int | None = None, why: str = "") -> State[None]:
    """Make the previous champion the champion again, or version `to`. Safe to repeat.

    why: the reason, for the audit trail. The version that is left is not promoted again by its scores.
    """
    from ddpm import registry

    run_liveness.hold_liveness_lock()
    return _finish(registry.rollback(params.model_name(), to, why=_with_run(why), lock=registry_lock))


def _with_run(why: str) -> str:
    """The reason, with the flow run in place of a user name, which Prefect does not have."""
    run = getattr(get_run_context(), "flow_run", None)
    return f"{why} (Prefect run {run.name})" if why.strip() and run else why


def _finish(move: "Move") -> State[None]:
    """Log a move, describe the new champion, notify of the move, and return the final state."""
    from ddpm import registry

    registry.describe(move.name, move.target)
    get_run_logger().info("%s", move)
    notify.send_move(move)
    return Completed(message=str(move))
