"""A model of a small data set that needs no training: the posterior mean over its images; none can be better."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddpm.diffusion import conditioning, process
from ddpm.diffusion.pixels import to_tensor
from ddpm.model import checkpoint
from ddpm.model.config import ModelConfig

DIFFUSION = {
    "process": "ddpm", "steps": 200, "schedule": "cosine", "beta_start": 1e-4, "beta_end": 0.02, "prediction": "x0",
    "sigma_data": 0.5, "weighting": "output", "variance": "fixed", "condition": "none",
}  # fmt: skip


ROUNDING = 0.02  # of a small image, which comes as whole numbers


class Ideal(nn.Module):
    """E[x0 | y] for x0 that is one of the images, each as probable as the others (of its class, if one is given).

    scale: it is given them smaller as well, as a model that was trained to enlarge; 0: it is not.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray | None = None, scale: int = 0) -> None:
        super().__init__()
        self.process = process.ddpm(200, "cosine", 1e-4, 0.02)
        self.sigmas = self.process.sigmas
        self.images = to_tensor(torch.from_numpy(images)).flatten(1)
        self.small = (
            conditioning.low_resolution(to_tensor(torch.from_numpy(images)), scale).flatten(1) if scale else None
        )
        self.labels = None if labels is None else torch.from_numpy(labels)

    def forward(
        self, y: Tensor, sigma: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """y (B, C, H, W), sigma (B,)."""
        distance = torch.cdist(y.flatten(1).double(), self.images.double()) ** 2
        logits = -distance / (2 * sigma.double().view(-1, 1) ** 2)
        if self.small is not None and condition is not None:
            logits = logits - torch.cdist(condition.flatten(1), self.small).double() ** 2 / (2 * ROUNDING**2)
        if labels is not None and self.labels is not None:
            other = (self.labels[None] != labels[:, None]) & (labels[:, None] <= self.labels.max())
            logits = logits.masked_fill(other, -torch.inf)
        return (logits.softmax(1).float() @ self.images).view_as(y)


def model(
    images: np.ndarray, labels: np.ndarray | None = None, classes: tuple[str, ...] = (), scale: int = 0
) -> checkpoint.Model:
    """The ideal model of images (N, H, W, C) uint8."""
    image = {"resolution": images.shape[1], "channels": images.shape[3], "classes": list(classes), "label_dropout": 0.1}
    diffusion = DIFFUSION | ({"condition": f"low-resolution-{scale}"} if scale else {})
    config: dict[str, Any] = {"image": image, "diffusion": diffusion, "net": {"kind": "unet"}, "digest": "0" * 64}
    return checkpoint.Model(Ideal(images, labels, scale), ModelConfig.from_json(config), "0" * 64)  # type: ignore[arg-type]  # what is used of one
