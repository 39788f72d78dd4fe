"""Limits of a request to a served model, and the formats of its response. Packed with every registered model."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from numpy.typing import NDArray

from ddpm.common.units import duration
from ddpm.diffusion.samplers.table import SAMPLERS
from ddpm.imaging.paths import as_pictures
from ddpm.imaging.pixels import grid_columns, tile, to_png
from ddpm.sampling.options import Sampling

Images = NDArray[Any]
"""Images uint8 (N, H, W, C), or series float32 (N, L, C)."""
PREFIX = "DDPM_SERVE_"
MLFLOW_SECONDS = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"
SHARE = 0.9  # of MLflow's own time limit, at which it closes the connection without stopping the sampling


@dataclass(frozen=True)
class Limits:
    """Limits of one request, set by environment variables of the server: DDPM_SERVE_IMAGES and so on.

    images: number of images; evaluations: network evaluations of single images, over all steps; values: numbers in a
    response of arrays; seconds: from arrival to response, 0 for no limit.
    """

    images: int = 10_000
    evaluations: int = 1_000_000
    values: int = 50_000_000
    seconds: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment; under `mlflow models serve`, `seconds` derives from its limit. Raises ValueError."""
        chosen = {}
        if theirs := environment.get(MLFLOW_SECONDS):
            chosen["seconds"] = max(1, int(SHARE * float(theirs)))
        for field in fields(cls):
            name = f"{PREFIX}{field.name.upper()}"
            if value := environment.get(name):
                least = 0 if field.name == "seconds" else 1
                if not value.isdecimal() or int(value) < least:
                    raise ValueError(f"{name} = {value!r}: must be an integer of {least} or more")
                chosen[field.name] = int(value)
        return cls(**chosen)

    def check(self, count: int, sampling: Sampling, values: int) -> None:
        """Raise ValueError for a request that is too large. values: numbers in the response."""
        self.check_count(count)
        needed = count * evaluations(sampling)
        if needed > self.evaluations:
            raise ValueError(
                f"{count:,} images by {sampling.steps:,} steps of {sampling.sampler} are {needed:,} network "
                f"evaluations; at most {self.evaluations:,} are allowed: request fewer images or steps"
            )
        if values > self.values:
            raise ValueError(
                f"the response would have {values:,} numbers; at most {self.values:,} are allowed: request fewer "
                "images, or format = png"
            )

    def check_count(self, count: int) -> None:
        """Raise ValueError for too many images."""
        if count > self.images:
            raise ValueError(f"{count:,} images in one request; at most {self.images:,} are allowed")

    @contextmanager
    def enforced(self, network: torch.nn.Module, begun: float) -> Iterator[None]:
        """Raise ValueError from the block's calls of `network` once time or evaluations are exhausted.

        begun: `time.monotonic()` at the request's arrival.
        """
        made = 0

        def check(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
            nonlocal made
            made += len(arguments[0])
            if self.seconds and time.monotonic() - begun > self.seconds:
                raise ValueError(f"not finished within {duration(self.seconds)}; request fewer images or steps")
            if made > self.evaluations:
                raise ValueError(
                    f"more than {self.evaluations:,} network evaluations; request fewer images, or a sampler with a "
                    "fixed number of steps"
                )

        hook = network.register_forward_pre_hook(check)
        try:
            yield
        finally:
            hook.remove()


def evaluations(sampling: Sampling) -> int:
    """Return the maximal network evaluations per image; 1 for the adaptive `ode`, counted by `Limits.enforced`."""
    each = SAMPLERS[sampling.sampler].evaluations
    corrections = sampling.corrections if "corrections" in sampling.options else 0
    steps = 1 if each is None else (each + corrections) * sampling.steps
    return steps * (1 if sampling.guidance == 1 else 2)


def arrays(images: Images, classes: int = 0) -> Images:
    """Return the images or series unchanged."""
    return images


def pngs(images: Images, classes: int = 0) -> list[str]:
    """Encode one PNG per image or series, in base64."""
    return [_png(image) for image in as_pictures(images)]


def grid(images: Images, classes: int = 0) -> list[str]:
    """Encode all images or series as one grid, a PNG in base64. classes: number of those in turn, each a column."""
    return [_png(tile(as_pictures(images), grid_columns(len(images), classes)))]


FORMATS: Mapping[str, Callable[[Images, int], Any]] = {"array": arrays, "png": pngs, "grid": grid}


def form(name: str) -> Callable[[Images, int], Any]:
    """Return the function that encodes images as a response. Raises ValueError for an unknown name."""
    if name not in FORMATS:
        raise ValueError(f"format = {name!r} is unknown; possible: {', '.join(FORMATS)}")
    return FORMATS[name]


def _png(image: Images) -> str:
    """Encode (H, W, 1 or 3) as a PNG in base64."""
    return base64.b64encode(to_png(image)).decode()
