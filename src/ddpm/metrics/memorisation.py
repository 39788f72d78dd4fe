"""Memorisation of training images: nearest distances of samples and of unseen images (Carlini et al. 2023)."""

import hashlib
from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.01  # share of unseen real images that lie as near as what is called a near copy
SUSPICIOUS_NEAR = 5 * NEAR  # share of near copies above which the set is flagged
SUSPICIOUS_RATIO = 0.5
WORST = 16  # pairs kept
NEIGHBOURS = 16  # nearest training images looked at: near copies are found in groups of fewer
GAP = 6.0  # times as near as the next neighbour is what counts as a near copy
DIGEST = 16  # bytes of a SHA-256 that tell images apart
FEWEST = 20  # unseen images without which there is no baseline


def near_copies(distances: Floats) -> NDArray[np.bool_]:
    """Which images (N,) have a near copy among others; distances (N, K) are those to the K nearest, ascending.

    An image does if it has the distance 0 to one, or if the k nearest of its neighbours, for some k < K, are GAP times
    nearer than the next: they show the same thing (frames of a film, say) and the next shows another. New images lie
    in no such gap: with d dimensions to differ in, the chance of one is GAP^-d.
    """
    gaps = distances[:, 1:] > GAP * distances[:, :-1]
    return np.asarray(gaps.any(axis=1) | (distances[:, 0] == 0))


def baseline(distances: Floats) -> Floats:
    """Distances (M,) of held-out images to the nearest training image, of those (H, K) without a near copy there.

    A held-out image with a near copy in the training split is not new, so it does not tell how near new images come.
    """
    found: Floats = distances[~near_copies(distances), 0]
    return found


def typical(samples: Floats, unseen: Floats) -> dict[str, float]:
    """Median distance to the nearest training image, of samples (N,) and of unseen images (M,), and the ratio.

    unseen: as from `baseline`. New images have a ratio of about 1; well below 1, the model repeats its training images.
    With fewer than FEWEST unseen images, only the first is returned.
    """
    ours = float(np.median(samples))
    if len(unseen) < FEWEST:
        return {"nearest_train_distance": ours}
    theirs = float(np.median(unseen))
    found = {"nearest_train_distance": ours, "nearest_heldout_baseline": theirs}
    return found | ({"memorisation_ratio": ours / theirs} if theirs > 0 else {})


def evidence(
    samples: Floats, nearest: NDArray[np.int64], heldout: Floats, exact_copies: int | None = None
) -> dict[str, Any]:
    """Evidence of copies, from distances (N, K) and (H, K) to the K nearest training images, ascending.

    `nearest` (N,) are the indices of the nearest ones of the samples. `heldout_with_near_copy`: held-out images that
    have a near copy in the training split, and are left out of everything below. `p_value`: one-sided Mann-Whitney test
    that samples lie nearer than held-out images. It takes both sets for independent draws, and with thousands of
    images it finds differences that do not matter: read it with `ratio`. `near_copies`: samples that have one as
    `near_copies` says, or lie below `threshold`, the distance that 1 % of held-out images lie below; so many of 100 new
    images do as well (`near_copies_expected`). With fewer than FEWEST held-out images left there is neither test nor
    threshold. `worst`: [sample, training index, distance], nearest first. `exact_copies`, where the
    pixels were compared. `flagged`: one of these exceeds chance and needs a human look.
    """
    distances, unseen = samples[:, 0], baseline(heldout)
    ratio = typical(distances, unseen).get("memorisation_ratio")
    order = distances.argsort(kind="stable")[:WORST]
    found: dict[str, Any] = {} if ratio is None else {"ratio": ratio}
    if exact_copies is not None:
        found["exact_copies"] = exact_copies
    found["heldout_with_near_copy"] = len(heldout) - len(unseen)
    near = _near(samples, unseen)
    found |= near | {"worst": [[int(i), int(nearest[i]), float(distances[i])] for i in order]}
    # The nearest of few unseen images says little of the nearest 1 % of all.
    suspicious = SUSPICIOUS_NEAR if len(unseen) < FEWEST else max(SUSPICIOUS_NEAR, 5 / len(unseen))
    near_too_often = near["near_copies"] > suspicious * len(samples)
    too_close = ratio is not None and ratio < SUSPICIOUS_RATIO
    return found | {"flagged": bool(near_too_often or too_close or exact_copies)}


def _near(samples: Floats, unseen: Floats) -> dict[str, Any]:
    """Test and count of samples that lie near: than unseen images do, or that lie in a gap of their own."""
    from scipy import stats

    distances, copies = samples[:, 0], near_copies(samples)
    if len(unseen) < FEWEST:
        return {"near_copies": int(copies.sum()), "near_copies_expected": 0.0}
    threshold = float(np.quantile(unseen, NEAR))
    test = stats.mannwhitneyu(distances, unseen, alternative="less", method="asymptotic")
    return {
        "p_value": float(test.pvalue),
        "near_copies": int((copies | (distances < threshold)).sum()),
        "near_copies_expected": NEAR * len(distances),
        "threshold": threshold,
    }


def count_copies(images: NDArray[np.uint8], training: Set[bytes]) -> int:
    """Count images (N, H, W, C) that equal a training image in every pixel.

    training: the first DIGEST bytes of the SHA-256 of the pixels of each training image, which has the same shape.
    """
    return sum(hashlib.sha256(image.tobytes()).digest()[:DIGEST] in training for image in images)
