"""How a task ends: one line on the terminal and in the log, and a final state named by what was done."""

import contextlib
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingContextError
from prefect.states import Completed

from flows.console import reporter


def finish(part: str, did: str, text: str, data: Any = None) -> State[Any]:
    """Report the outcome `did` of `part`, and return the state for Prefect; `data` is the result of the task."""
    reporter.ended(part, did, text)
    with contextlib.suppress(MissingContextError):  # called outside a run
        get_run_logger().info("%s", text)
    return Completed(name=did, message=text, data=data)
