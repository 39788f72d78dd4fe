"""An exact model of few digits, pictures to restore, and their scores."""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from ddpm.diffusion.pixels import to_tensor, to_uint8
from ddpm.model import checkpoint
from ddpm.restore import inputs, outputs, run, tasks
from tests.support import ideal

SIDE = 16
COLOURS = np.random.default_rng(0).uniform(0.2, 1.0, (10, 3))


def digits(coloured: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 16 x 16 pixels, (N, H, W, C) uint8; in colour, each class in one of its own."""
    small, labels = load_digits(return_X_y=True)
    large = (small.reshape(-1, 8, 8) * (255 / 16)).repeat(2, axis=1).repeat(2, axis=2)[..., None]
    images = large * COLOURS[labels][:, None, None, :] if coloured else large
    return np.rint(images).astype(np.uint8), labels


GREY, LABELS = digits()
MODEL = ideal.model(GREY, LABELS, tuple("0123456789"))
TRUTH = GREY[100:106]
MASK = np.ones((SIDE, SIDE), dtype=bool)
MASK[5:12, 4:13] = False


def given(observed: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> inputs.Inputs:
    return inputs.Inputs(tuple(f"{index}" for index in range(len(observed))), observed, known, truth)


def pooled(images: np.ndarray, scale: int) -> np.ndarray:
    side = images.shape[1] // scale
    return np.rint(images.reshape(-1, side, scale, side, scale, images.shape[3]).mean(axis=(2, 4))).astype(np.uint8)


def noisy(images: np.ndarray, sigma: float) -> np.ndarray:
    clean = to_tensor(torch.from_numpy(images))
    return to_uint8(clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))


def scores(model: checkpoint.Model, source: inputs.Inputs, task: str, **options: Any) -> dict[str, Any]:
    plan = tasks.plan(model.config, task, mask=source.known is not None, **options)
    restored = run.restore(model, plan, run.observe(plan, source, model.config.diffusion))
    return outputs.scores(plan, restored, source.truth)
