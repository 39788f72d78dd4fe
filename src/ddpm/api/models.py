"""Models as Python objects: registered versions and checkpoint folders."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from ddpm import registry, tracking
from ddpm.api.options import SamplerOptions, require_known
from ddpm.common.class_names import class_index
from ddpm.config import params
from ddpm.model import checkpoint
from ddpm.model.config import ModelConfig
from ddpm.registry import Status
from ddpm.restore import inputs, run, tasks
from ddpm.restore.run import Restored
from ddpm.sampling import generate, settings
from ddpm.sampling.options import Sampler

Images = NDArray[Any]
Pixel = TypeVar("Pixel", np.uint8, np.bool_)
Task = Literal["inpaint", "super-resolution", "denoise", "colourise"]


@dataclass(frozen=True)
class Model:
    """A loaded model.

    source: the address that it was loaded from. folder: its checkpoint. settings: the sampler options that the version
    was evaluated with; None for a checkpoint folder. loaded: the network.
    """

    source: str
    folder: Path
    settings: Mapping[str, Any] | None
    loaded: checkpoint.Model = field(repr=False)

    @property
    def config(self) -> ModelConfig:
        """Sections image, net and diffusion of its training."""
        return self.loaded.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by index; empty for a model without labels."""
        return self.loaded.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image (H, W, C), or of a series (L, C)."""
        return self.config.image.domain.stored

    @property
    def sha256(self) -> str:
        """SHA-256 of its weights file."""
        return self.loaded.sha256

    def sample(
        self,
        count: int = 64,
        *,
        label: str | int | None = None,
        seed: int = 0,
        guide: Self | None = None,
        batch: int = 250,
        device: str = "auto",
        **options: Unpack[SamplerOptions],
    ) -> Images:
        """Generate `count` images, (count, H, W, C) uint8, or series, (count, L, C) float32, as `ddpm sample`.

        Image i depends on seed + i only. label: class of all images, by name or index; None: all classes in turn.
        guide: a weaker model, for autoguidance. Raises ValueError for a request that the model does not support,
        TypeError for an unknown option.
        """
        require_known(options)
        sampling, notes = settings.sampling(
            self.source, self.settings, options, self.loaded.steps, guide=guide is not None, named="guide"
        )
        for note in notes:
            warnings.warn(note, stacklevel=2)
        labels = None if label is None else [class_index(label, self.classes)] * count
        weak = None if guide is None else guide.loaded
        return generate.generate(
            self.loaded, count, sampling, seed=seed, labels=labels, guide=weak, batch=batch, device=device
        )

    def restore(
        self,
        task: Task,
        images: str | os.PathLike[str] | Images,
        *,
        mask: str | os.PathLike[str] | NDArray[np.bool_] | None = None,
        scale: int | None = None,
        noise: float | Literal["auto"] | None = None,
        label: str | int | None = None,
        count: int = 1,
        seed: int = 0,
        sampler: Sampler | None = None,
        steps: int | None = None,
        rounds: int | None = None,
        batch: int = 64,
        device: str = "auto",
    ) -> Restored:
        """Restore each image `count` times, as `ddpm restore`: images (N, count, H, W, C) uint8, mean, spread.

        images: a picture, a folder, an archive, or an array (N, h, w, c) uint8, whose image i has the same noise as a
        file named i.png. mask: for inpaint, a picture that is white where to paint, or an array (H, W) that is True
        there. scale: for super-resolution. noise: standard deviation for images in [-1, 1], or "auto" to estimate it.
        label: the class of all images. Raises ValueError for a request that the model does not support, DataError for
        an unusable picture.
        """
        plan = tasks.plan(
            self.config, task, mask=mask is not None, scale=scale, noise=None if noise is None else str(noise),
            sampler=sampler, steps=steps, own=self.settings, rounds=rounds, count=count, seed=seed,
            label=None if label is None else class_index(label, self.classes),
        )  # fmt: skip
        if plan.trained and self.settings == {}:
            used = f"{plan.sampling.sampler}, {plan.sampling.steps} steps"
            warnings.warn(f"{settings.without(self.source)}: {used}", stacklevel=2)
        read = inputs.read(plan, _path(images), None if mask is None else _path(mask))
        observed = run.observe(plan, read, self.config.diffusion)
        return run.restore(self.loaded, plan, observed, batch=batch, device=device)


def load(source: str | int | os.PathLike[str]) -> Model:
    """Load a model.

    source: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, the number of a version of promote.name in params.yaml, a
    checkpoint folder such as out/train/model, or the folder of a packed model. The record is the server or database
    that MLFLOW_TRACKING_URI names, or else that of the project in the current folder. Raises RegistryError for an
    unknown address, with the nearest known name; TrackingError for a record that cannot be used.
    """
    address = registry.address(str(source) if isinstance(source, int) else os.fspath(source))
    with tracking.friendly_errors():
        folder, own = registry.download_with_settings(address)
    return Model(address, folder, own, checkpoint.load(folder))


def versions(name: str = "") -> Status:
    """List the versions of a registered model, newest first, and its aliases, as `ddpm status`.

    name: by default promote.name of params.yaml. Raises RegistryError for a model that is not registered.
    """
    with tracking.friendly_errors():
        return registry.known_status(name or params.model_name())


def _path(given: str | os.PathLike[str] | NDArray[Pixel]) -> Path | NDArray[Pixel]:
    """Convert the name of a file to a path; return an array unchanged."""
    return Path(given) if isinstance(given, str | os.PathLike) else given
