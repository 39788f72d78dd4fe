"""PSNR and SSIM of restored images. Images are uint8 (N, H, W, C)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

Images = NDArray[np.uint8]
ROUNDING = 1 / 12  # mean squared error of rounding to integers, the precision of 8-bit images
SMALLEST_SIDE = 11  # side of SSIM's window (Wang et al. 2004)


def psnr(images: Images, truth: Images) -> NDArray[np.float64]:
    """Compute the peak signal-to-noise ratio of each image in dB: (N,).

    Clipped at that of the rounding error, 58.9 dB, so it is finite for equal images.
    """
    found: NDArray[np.float64] = peak_signal_noise_ratio(
        _planes(images), _planes(truth), data_range=255.0, reduction="none", dim=(1, 2, 3)
    ).numpy()
    return found.clip(max=10 * np.log10(255**2 / ROUNDING))


def ssim(images: Images, truth: Images) -> NDArray[np.float64] | None:
    """Compute the structural similarity of each image, at most 1: (N,). None for images smaller than its window."""
    if min(images.shape[1:3]) < SMALLEST_SIDE:
        return None
    found = structural_similarity_index_measure(_planes(images), _planes(truth), data_range=255.0, reduction="none")
    if not isinstance(found, torch.Tensor):
        raise TypeError("torchmetrics returned a full similarity image that was not requested")
    return np.atleast_1d(found.numpy())


def _planes(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2)
