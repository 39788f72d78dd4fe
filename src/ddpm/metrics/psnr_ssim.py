"""PSNR and SSIM of restored images. Images are uint8 (N, H, W, C)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

Images = NDArray[np.uint8]
ROUNDING = 1 / 12  # mean squared error that rounding to whole levels makes: no 8-bit image is known better
SMALLEST_SIDE = 11  # of SSIM's window (Wang et al. 2004)


def psnr(images: Images, truth: Images) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each image in dB: (N,).

    At most that of rounding, 58.9 dB, so that equal images have a number too.
    """
    found: NDArray[np.float64] = peak_signal_noise_ratio(
        _planes(images), _planes(truth), data_range=255.0, reduction="none", dim=(1, 2, 3)
    ).numpy()
    return found.clip(max=10 * np.log10(255**2 / ROUNDING))


def ssim(images: Images, truth: Images) -> NDArray[np.float64] | None:
    """Structural similarity of each image, at most 1: (N,). None where images are smaller than its window."""
    if min(images.shape[1:3]) < SMALLEST_SIDE:
        return None
    found = structural_similarity_index_measure(_planes(images), _planes(truth), data_range=255.0, reduction="none")
    if not isinstance(found, torch.Tensor):
        raise TypeError("torchmetrics was not asked for the full image and returned it")
    return np.atleast_1d(found.numpy())


def _planes(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2)
