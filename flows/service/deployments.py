"""Moves of the champion as flows, for Prefect's page: what `ddpm promote` and `ddpm rollback` do."""

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


@flow(name="promote", flow_run_name="promote-{version}", persist_result=False, on_crashed=[notify.ended])
def promote(version: int, why: str) -> State[None]:
    """Make a version the champion: your decision, whatever the gate said.

    version: its number in the registry. why: the reason, for the audit trail.
    """
    from ddpm import registry

    run_liveness.hold_liveness_lock()
    say = get_run_logger().info
    return _told(registry.force_promote(params.model_name(), version, _signed(why), say, lock=registry_lock))


@flow(name="rollback", flow_run_name="rollback", persist_result=False, on_crashed=[notify.ended])
def rollback(to: int | None = None, why: str = "") -> State[None]:
    """Make the previous champion the champion again, or version `to`. Safe to repeat.

    why: the reason, for the audit trail. The version that is left is not promoted again by its scores.
    """
    from ddpm import registry

    run_liveness.hold_liveness_lock()
    return _told(registry.rollback(params.model_name(), to, why=_signed(why), lock=registry_lock))


def _signed(why: str) -> str:
    """The reason, and the flow run in which it was given: Prefect's page has no persons to name."""
    run = getattr(get_run_context(), "flow_run", None)
    return f"{why} (Prefect run {run.name})" if why.strip() and run else why


def _told(move: "Move") -> State[None]:
    get_run_logger().info("%s", move)
    notify.moved(move)
    return Completed(message=str(move))
