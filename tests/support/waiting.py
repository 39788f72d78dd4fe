"""Waiting for something that another process does."""

import time
from collections.abc import Callable

PATIENCE = 240.0
"""Seconds: far more than any wait needs, also on a busy machine."""


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once `condition()` is true. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {patience:g} s")
        time.sleep(0.05)
