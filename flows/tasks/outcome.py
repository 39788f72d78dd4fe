"""The end of every task: a line on the terminal and in the log, and a final state named after the result."""

import contextlib
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingContextError
from prefect.states import Completed

from flows.console import reporter


def finish(part: str, result: str, text: str, data: Any = None) -> State[Any]:
    """Report the result of `part` and return its final state.

    result: the name of the state, such as Completed or Cached. text: its message. data: what the task returns.
    """
    reporter.finished(part, result, text)
    with contextlib.suppress(MissingContextError):  # outside of a run
        get_run_logger().info("%s", text)
    return Completed(name=result, message=text, data=data)
