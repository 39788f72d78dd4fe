"""Scores of generated images as a Python object."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm.evaluation import score_images
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.runtime.device import evaluation_device

Source = str | os.PathLike[str] | NDArray[np.uint8]


def score(
    real: Source,
    fake: Source,
    *,
    heldout: Source | None = None,
    extractor: str = "efficientnet-lite0",
    count: int | None = None,
    resize: str | None = None,
    unequal: bool = False,
    splits: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> ScoreRecord:
    """Score generated images against real ones, as `ddpm score`; the record has the conditions of its scores.

    real, fake, heldout: a folder or archive of images, a .npy file, or an array (N, H, W, C) uint8 with 1 or 3
    channels; for `real` also statistics (.npz or .safetensors). extractor, count, resize, unequal, splits, seed: the
    options of `ddpm score`. At least 50 images of each are needed, and equally many unless `unequal`. torch is switched
    to deterministic kernels. Raises ValueError, DataError or FileNotFoundError with the reason and the remedy.
    """
    measured = score_images.measure(
        _images(real), _images(fake), None if heldout is None else _images(heldout), extractor=extractor, count=count,
        resize=resize, unequal=unequal, splits=splits, seed=seed, device=evaluation_device(device),
    )  # fmt: skip
    return ScoreRecord.from_json(measured.scores(splits))


def _images(given: Source) -> Path | NDArray[np.uint8]:
    return Path(given) if isinstance(given, str | os.PathLike) else given
