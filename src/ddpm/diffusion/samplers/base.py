"""What a sampler is given. Every sampler is a plain function `(denoise, y, sigmas, noise, *, its options, watch)`.

denoise(y, sigma) -> the estimate of x0, like y; y (B, C, H, W), a draw at the level `sigmas[0]`;
sigmas (n + 1,) float64, descending, the last 0; noise(i) -> a fresh draw, standard normal and like y, for step i;
watch(i, y, x0) sees every step. It returns (B, C, H, W).
"""

from collections.abc import Callable

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]
Watch = Callable[[int, Tensor, Tensor], None]


def unwatched(step: int, y: Tensor, x0: Tensor) -> None:
    """Watch nothing."""
