"""The tiny model trained in this process."""

from collections.abc import Callable
from typing import Any

from ddpm.training import loop, state
from ddpm.training.config import TrainConfig
from tests.support import tiny


def run(
    training: state.State, recipe: TrainConfig = tiny.TRAIN_CONFIG, *, stop_at: int | None = None, **hooks: Any
) -> None:
    """Train; with `stop_at`, ask to stop before that step."""
    nothing: dict[str, Callable[..., None]] = dict.fromkeys(("log", "preview", "save"), lambda *values: None)
    stop = {"should_stop": lambda: training.step == stop_at}
    loop.fit(training, tiny.data(), recipe, **{**nothing, **stop, **hooks})
