"""A small convolutional classifier whose penultimate layer is the feature space of the scores.

On digits and other narrow domains its features discriminate better than those of Inception-v3, which was trained on
photographs.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

WARMUP = 0.1  # share of the run over which the learning rate rises
WEIGHT_DECAY = 0.01
AVERAGING = 0.98  # decay of the weight average per optimiser step
LARGEST_SIDE = 32  # a larger image is first reduced to about this side by a strided convolution
LARGEST_STRIDE = 2  # of a 3 x 3 convolution: 3 skips a last row, more also skips rows in between
CONFIG = ("resolution", "channels", "classes", "width", "downsampling")
ANTIALIASED, STRIDED = "antialiased", "strided"
"""Ways to reduce a large image. `strided`, of classifiers trained by older versions, skips pixels: 44 % at side 128,
86 % at 256, and at some sides above 63 the last row and column."""


class Classifier(nn.Module):
    """Three convolutions, each normalised and pooled, then a standardised feature vector and a linear head.

    `features` maps images (B, C, S, S) in [-1, 1] to (B, 4 * width), each feature with mean near 0 and variance near 1
    on the training images; `logits` maps features to (B, classes). Every pixel contributes at any side: images of 96
    pixels and more are averaged to 64 (no aliasing) before the first convolution halves them. For images up to
    LARGEST_SIDE, both values of `downsampling` are equivalent.
    """

    def __init__(
        self, resolution: int, channels: int, classes: int, width: int, downsampling: str = ANTIALIASED
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "resolution": resolution,
            "channels": channels,
            "classes": classes,
            "width": width,
            "downsampling": downsampling,
        }
        stride = max(1, resolution // LARGEST_SIDE)
        self.averages = downsampling == ANTIALIASED and stride > LARGEST_STRIDE
        stride = 2 if self.averages else stride
        # After a strided convolution, a pool that drops an odd last row would lose pixels that no other unit sees.
        self.whole = downsampling == ANTIALIASED and resolution > LARGEST_SIDE
        self.stem = _block(channels, width, stride)
        self.middle = _block(width, 2 * width)
        self.top = _block(2 * width, 4 * width)
        # Without affine parameters, the scale of a Fréchet distance is comparable between trainings.
        self.standard = nn.BatchNorm1d(4 * width, affine=False)
        self.head = nn.Linear(4 * width, classes)

    @property
    def dimension(self) -> int:
        """Length of the feature vector."""
        return int(self.head.in_features)

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, S, S) in [-1, 1] to standardised features (B, 4 * width)."""
        if self.averages:
            images = F.adaptive_avg_pool2d(images, 2 * LARGEST_SIDE)
        h = F.max_pool2d(self.stem(images), 2, ceil_mode=self.whole)
        h = F.max_pool2d(self.middle(h), 2, ceil_mode=self.whole)
        standardised: Tensor = self.standard(self.top(h).mean(dim=(2, 3)))
        return standardised

    def logits(self, features: Tensor) -> Tensor:
        """Map features (B, 4 * width) to logits (B, classes)."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, S, S) in [-1, 1] to logits (B, classes)."""
        return self.logits(self.features(images))


def train(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    classes: int,
    width: int,
    budget: int,
    batch: int,
    lr: float,
    seed: int,
    device: str = "cpu",
    advance: Callable[[int, str], None] = lambda count, note: None,
) -> Classifier:
    """Train on uint8 images (N, S, S, C) with labels (N,) for `budget` images; deterministic given `seed`.

    Each image is shifted by up to a twelfth of its side. Returns the averaged weights, on the CPU, in evaluation
    mode. Raises ValueError for fewer images than one batch, or a loss that is not finite.
    """
    count, resolution, _, channels = images.shape
    if count < batch:
        raise ValueError(f"features.batch = {batch} exceeds the {count} training images; use a smaller batch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(resolution, channels, classes, width).to(device)
    pixels = _to_tensor(images).to(device)
    targets = torch.as_tensor(labels, device=device)
    order = torch.Generator().manual_seed(seed)
    steps = max(1, budget // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99))
    average = copy.deepcopy(model)
    for step, chosen in enumerate(_batches(count, batch, steps, order)):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / (WARMUP * steps), (steps - step) / (steps * (1 - WARMUP)))
        shifted = _shift(pixels[chosen.to(device)], max(1, resolution // 12), order)
        loss = F.cross_entropy(model(shifted), targets[chosen.to(device)])
        if not torch.isfinite(loss):
            raise ValueError(f"the classifier's loss is {loss.item()} at step {step}; use a smaller features.lr ({lr})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        _follow(average, model)
        advance(batch, f"loss {loss.item():.3f}")
    return average.cpu().eval()


def from_weights(config: dict[str, Any], weights: dict[str, Tensor]) -> Classifier:
    """Rebuild a trained classifier from its `config` and state dict. Raises ValueError if they do not fit.

    A config of an older version has no `downsampling`, which means STRIDED.
    """
    model = Classifier(**{"downsampling": STRIDED} | config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the classifier's weights do not fit its configuration: {error}") from error
    return model.eval()


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """Build convolution, normalisation and ReLU; divides the side by `stride`."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, stride=stride, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 (N, S, S, C) to float32 (N, C, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _batches(count: int, batch: int, steps: int, order: torch.Generator) -> Iterator[Tensor]:
    """Yield `steps` index vectors of length `batch`, from as many shuffles of the set as needed."""
    shuffles = [torch.randperm(count, generator=order) for _ in range(-(-steps * batch // count))]
    yield from torch.cat(shuffles)[: steps * batch].view(steps, batch)


@torch.no_grad()
def _follow(average: Classifier, model: Classifier) -> None:
    """Update the averaged weights and statistics."""
    for kept, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(now, 1 - AVERAGING)
        else:
            kept.copy_(now)


def _shift(images: Tensor, reach: int, order: torch.Generator) -> Tensor:
    """Shift each image by up to `reach` pixels along both axes, repeating the edge."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    offset = torch.randint(0, 2 * reach + 1, (2, batch), generator=order).to(images.device)
    rows = offset[0, :, None] + torch.arange(height, device=images.device)
    columns = offset[1, :, None] + torch.arange(width, device=images.device)
    number = torch.arange(batch, device=images.device)[:, None, None]
    # (B, H, W, C): advanced indexing around the channel axis puts it last.
    return padded[number, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
