"""Multistep sampling of a consistency model, which maps a noisy image to the end of its probability flow at once."""

from itertools import pairwise

from torch import Tensor

from ddpm.diffusion.samplers.base import Callback, Denoise, Noise, no_callback


def consistency(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, callback: Callback = no_callback
) -> Tensor:
    """Song et al. 2023, algorithm 1: map to an image, add fresh noise of the next level, and so on.

    `denoise` is a consistency function: with a denoiser, which is the mean of all images behind y, images are blurred.
    """
    for i, (sigma, lower) in enumerate(pairwise(sigmas.tolist())):
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        y = x0 + lower * noise(i) if lower > 0 else x0
    return y
