"""Name and tags of a flow run by its result: `retrain v12: champion kept, inconclusive`.

A run starts under the name of its flow and is renamed when its result is known. A name that a user gave it in between
is kept.
"""

from collections.abc import Callable, Sequence

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from ddpm.common import terminal
from flows.summary import PipelineResult

COMMANDS = {"pipeline": "run"}
"""Commands whose flow has another name."""


def title(command: str, result: PipelineResult) -> str:
    """Name a run by command, version and result: `run v3: promoted, first`."""
    return f"{command} v{result.registered.version}: {_result(result)}"


def tags(result: PipelineResult) -> list[str]:
    """Tags to filter runs by: model, version, verdict."""
    made = result.registered
    return [terminal.field(made.name), f"v{made.version}", result.verdict.verdict]


def set_result(result: PipelineResult) -> None:
    """Rename and tag the current flow run by its result; does nothing outside of one."""
    _update(lambda command: title(command, result), tags(result))


def set_skipped(reason: str) -> None:
    """Rename and tag the current flow run, which had nothing to do; does nothing outside of one."""
    _update(lambda command: f"{command}: skipped, {reason}", ["skipped"])


def _result(result: PipelineResult) -> str:
    verdict, made = result.verdict, result.registered
    if verdict.promote:
        return f"promoted, {verdict.verdict}"
    if made.champion == made.version:
        return "champion already"
    return f"{'no champion' if made.champion is None else 'champion kept'}, {verdict.verdict}"


def _update(name: Callable[[str], str], added: Sequence[str]) -> None:
    """Set name and tags of the current run. A failure is a warning: the result stands without them.

    name: returns the name for a command.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return
    flow = context.flow.name
    try:
        with get_client(sync_client=True) as client:
            now = client.read_flow_run(context.flow_run.id)
            by_user = now.name not in {flow, context.flow_run.name}
            kept = [*now.tags, *(each for each in added if each not in now.tags)]
            client.update_flow_run(now.id, name=now.name if by_user else name(COMMANDS.get(flow, flow)), tags=kept)
    except httpx.HTTPError as error:
        get_run_logger().warning("the run was not renamed by its result: %s", type(error).__name__)
