"""Square images: stored as uint8 (N, H, W, C), seen by the network in [-1, 1]."""

import numpy as np

from ddpm.diffusion.pixels import to_tensor, to_uint8, within_range
from ddpm.domains.domain import Domain, Scale


def domain(side: int, channels: int, scale: Scale) -> Domain:
    """Return the domain of images of `side` x `side` pixels, whose range is fixed: `scale` does not apply."""
    return Domain((channels, side, side), (side, side, channels), np.uint8, to_tensor, to_uint8, within_range)
