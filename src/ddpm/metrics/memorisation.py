"""Memorisation of training images: nearest distances of samples and of unseen images (Carlini et al. 2023)."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.01  # share of unseen real images that lie as near as what is called a near copy
SUSPICIOUS_NEAR = 5 * NEAR  # share of near copies above which the set is flagged
SUSPICIOUS_RATIO = 0.5
WORST = 16  # pairs kept


def typical(samples: Floats, heldout: Floats) -> dict[str, float]:
    """Median distance to the nearest training image, of samples (N,) and of held-out images (M,), and the ratio.

    New images have a ratio of about 1; well below 1, the model repeats its training images. Without held-out images,
    only the first is returned.
    """
    ours = float(np.median(samples))
    if len(heldout) == 0:
        return {"nearest_train_distance": ours}
    theirs = float(np.median(heldout))
    found = {"nearest_train_distance": ours, "nearest_heldout_baseline": theirs}
    # A held-out split of nothing but copies has no baseline to compare with.
    return found | ({"memorisation_ratio": ours / theirs} if theirs > 0 else {})


def evidence(
    samples: Floats, nearest: NDArray[np.int64], heldout: Floats, exact_copies: int | None = None
) -> dict[str, Any]:
    """Evidence of copies, from distances to the nearest training image; `nearest` (N,) are the indices of those.

    `p_value`: one-sided Mann-Whitney test that samples lie nearer than held-out images. It takes both sets for
    independent draws, and with thousands of images it finds differences that do not matter: read it with `ratio`.
    `near_copies`: samples below `threshold`, the distance that 1 % of held-out images lie below; so many of 100 new
    images do as well (`near_copies_expected`). `worst`: [sample, training index, distance], nearest first.
    `exact_copies`, where the pixels were compared. `flagged`: one of these exceeds chance and needs a human look.
    """
    from scipy import stats

    ratio = typical(samples, heldout).get("memorisation_ratio")
    threshold = float(np.quantile(heldout, NEAR))
    near = int((samples < threshold).sum()) if threshold > 0 else int((samples == 0).sum())
    order = samples.argsort(kind="stable")[:WORST]
    found: dict[str, Any] = {} if ratio is None else {"ratio": ratio}
    found["p_value"] = float(stats.mannwhitneyu(samples, heldout, alternative="less", method="asymptotic").pvalue)
    if exact_copies is not None:
        found["exact_copies"] = exact_copies
    found |= {
        "near_copies": near,
        "near_copies_expected": NEAR * len(samples),
        "threshold": threshold,
        "worst": [[int(i), int(nearest[i]), float(samples[i])] for i in order],
    }
    near_too_often = near > SUSPICIOUS_NEAR * len(samples)
    too_close = ratio is not None and ratio < SUSPICIOUS_RATIO
    return found | {"flagged": bool(near_too_often or too_close or exact_copies)}


def count_copies(images: NDArray[np.uint8], training: NDArray[np.uint8], indices: NDArray[np.int64]) -> int:
    """How many of `images` (N, H, W, C) equal one of `training[indices]` in every pixel; image by image, by hash."""
    if images.shape[1:] != training.shape[1:]:
        raise ValueError(f"images of {images.shape[1:]} and {training.shape[1:]} cannot be compared pixel by pixel")
    known = {_digest(training[index]) for index in indices}
    return sum(_digest(image) in known for image in images)


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()
