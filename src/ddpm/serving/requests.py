"""Limits of a request to a served model, and the formats of its answer. Packed with every registered model."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm.diffusion.samplers.table import SAMPLERS
from ddpm.imaging.pixels import square_columns, tile, to_png
from ddpm.sampling.options import Sampling

Images = NDArray[np.uint8]
PREFIX = "DDPM_SERVE_"
MLFLOW_SECONDS = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"
SHARE = 0.9  # of MLflow's own time limit: after that it hangs up, while the drawing would go on


@dataclass(frozen=True)
class Limits:
    """Limits of one request. Each has an environment variable of the server: DDPM_SERVE_IMAGES and so on.

    images: drawn; evaluations: images that go through the network, over all steps; values: numbers in an answer of
    arrays; seconds: from its arrival to its answer, 0 for no limit.
    """

    images: int = 10_000
    evaluations: int = 1_000_000
    values: int = 50_000_000
    seconds: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment; under `mlflow models serve`, `seconds` follows its limit. Raises ValueError."""
        chosen = {}
        if theirs := environment.get(MLFLOW_SECONDS):
            chosen["seconds"] = max(1, int(SHARE * float(theirs)))
        for field in fields(cls):
            name = f"{PREFIX}{field.name.upper()}"
            if value := environment.get(name):
                least = 0 if field.name == "seconds" else 1
                if not value.isdecimal() or int(value) < least:
                    raise ValueError(f"{name} = {value!r}: must be a whole number from {least}")
                chosen[field.name] = int(value)
        return cls(**chosen)

    def check(self, count: int, sampling: Sampling, values: int) -> None:
        """Refuse a request that is too large before any work. values: numbers in the answer. Raises ValueError."""
        self.check_count(count)
        needed = count * evaluations(sampling)
        if needed > self.evaluations:
            raise ValueError(
                f"{count:,} images by {sampling.steps:,} steps of {sampling.sampler} are {needed:,} evaluations of the "
                f"network; at most {self.evaluations:,} are made for one request: ask for fewer images or steps"
            )
        if values > self.values:
            raise ValueError(
                f"the answer would have {values:,} numbers, and at most {self.values:,} are sent: ask for fewer "
                "images, or for format = png"
            )

    def check_count(self, count: int) -> None:
        """Refuse too many images. Raises ValueError."""
        if count > self.images:
            raise ValueError(f"{count:,} images in one request; at most {self.images:,} are drawn at a time")

    @contextmanager
    def held(self, network: torch.nn.Module, begun: float) -> Iterator[None]:
        """While the block draws with `network`, end it by a ValueError when time or evaluations are spent.

        begun: `time.monotonic()` when the request arrived.
        """
        made = 0

        def look(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
            nonlocal made
            made += len(arguments[0])
            if self.seconds and time.monotonic() - begun > self.seconds:
                raise ValueError(f"not drawn within {self.seconds} s; ask for fewer images or steps")
            if made > self.evaluations:
                raise ValueError(
                    f"more than {self.evaluations:,} evaluations of the network; ask for fewer images, or for a "
                    "sampler whose steps are counted"
                )

        hook = network.register_forward_pre_hook(look)
        try:
            yield
        finally:
            hook.remove()


def evaluations(sampling: Sampling) -> int:
    """Network evaluations for one image, at most; 1 for `ode`, which adapts its steps (`Limits.held` counts them)."""
    each = SAMPLERS[sampling.sampler].evaluations
    corrections = sampling.corrections if "corrections" in sampling.options else 0
    steps = 1 if each is None else (each + corrections) * sampling.steps
    return steps * (1 if sampling.guidance == 1 else 2)


def arrays(images: Images) -> Images:
    """Bytes as they are: uint8 (N, H, W, C)."""
    return images


def pngs(images: Images) -> list[str]:
    """One PNG per image, in base64."""
    return [_png(image) for image in images]


def grid(images: Images) -> list[str]:
    """One PNG, in base64, of all images in rows, as near to a square as their number allows."""
    return [_png(tile(images, square_columns(len(images))))]


FORMATS: Mapping[str, Callable[[Images], Any]] = {"array": arrays, "png": pngs, "grid": grid}


def form(name: str) -> Callable[[Images], Any]:
    """The function that turns images into an answer. Raises ValueError for an unknown name."""
    if name not in FORMATS:
        raise ValueError(f"format = {name!r} is unknown; possible: {', '.join(FORMATS)}")
    return FORMATS[name]


def _png(image: Images) -> str:
    """(H, W, 1 or 3)."""
    return base64.b64encode(to_png(image)).decode()
