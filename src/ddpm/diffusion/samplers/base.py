"""The interface of samplers: plain functions `(denoise, y, sigmas, noise, *, options, callback)`.

denoise(y, sigma) -> the estimate of x0, like y; y (B, C, H, W), a sample at noise level `sigmas[0]`;
sigmas (n + 1,) float64, descending, the last 0; noise(i) -> new standard normal noise, like y, for step i;
callback(i, y, x0) is called at every step. A sampler returns (B, C, H, W).
"""

from collections.abc import Callable

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]
Callback = Callable[[int, Tensor, Tensor], None]


def no_callback(step: int, y: Tensor, x0: Tensor) -> None:
    """Do nothing."""
