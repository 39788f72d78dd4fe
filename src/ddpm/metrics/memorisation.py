"""Memorisation of training images: nearest distances of samples and of unseen images (Carlini et al. 2023)."""

import hashlib
from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.01  # quantile of the held-out distances below which a sample counts as a near copy
SUSPICIOUS_NEAR = 5 * NEAR  # share of near copies above which the set is flagged
SUSPICIOUS_RATIO = 0.5  # memorisation ratio below which the set is flagged
WORST = 16  # pairs kept
NEIGHBOURS = 16  # nearest training images considered; groups of near copies must be smaller
GAP = 6.0  # ratio of distances to consecutive neighbours that separates near copies from other images
DIGEST = 16  # leading bytes of the SHA-256 by which images are told apart
FEWEST = 20  # held-out images required for a baseline


def near_copies(distances: Floats) -> NDArray[np.bool_]:
    """Mark the images (N,) that have a near copy in a set, from distances (N, K) to the K nearest of it, ascending.

    An image has one at distance 0, or if for some k < K its k nearest neighbours are GAP times nearer than the next:
    these show the same subject, such as frames of one video, and the next does not. Independent images rarely have
    such a gap: its probability is about GAP^-d for d intrinsic dimensions.
    """
    gaps = distances[:, 1:] > GAP * distances[:, :-1]
    return np.asarray(gaps.any(axis=1) | (distances[:, 0] == 0))


def baseline(distances: Floats) -> Floats:
    """Return the distance (M,) to the nearest training image of each held-out image without a near copy.

    distances: (H, K), of all held-out images. One with a near copy in the training split is not a new image, so its
    distance is not representative of new images.
    """
    found: Floats = distances[~near_copies(distances), 0]
    return found


def typical(samples: Floats, unseen: Floats) -> dict[str, float]:
    """Compute the median distance to the nearest training image, of samples (N,) and unseen images (M,), and the ratio.

    unseen: from `baseline`. Independent images have a ratio of about 1; well below 1, the model memorises. With fewer
    than FEWEST unseen images, only the median of the samples is returned.
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
    """Compute evidence of memorisation, from distances (N, K) and (H, K) to the K nearest training images, ascending.

    nearest: (N,), the index of the training image nearest to each sample. exact_copies: from `count_copies`.

    Returns:
    - `ratio`: as in `typical`.
    - `heldout_with_near_copy`: number of held-out images with a near copy in the training split; these are excluded
      from everything else.
    - `p_value`: one-sided Mann-Whitney test of samples being nearer than held-out images. It assumes independent draws
      and with thousands of images detects irrelevant differences: read it together with `ratio`.
    - `near_copies`: samples with a near copy, or nearer than `threshold`, the NEAR quantile of the held-out distances;
      `near_copies_expected`: the number below the threshold if the samples were new images. With fewer than FEWEST
      held-out images, there is neither test nor threshold.
    - `worst`: [sample, training index, distance], nearest first.
    - `exact_copies`, if given.
    - `flagged`: a count or the ratio exceeds chance and needs human inspection.
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
    # With few unseen images, their 1 % quantile is uncertain.
    suspicious = SUSPICIOUS_NEAR if len(unseen) < FEWEST else max(SUSPICIOUS_NEAR, 5 / len(unseen))
    near_too_often = near["near_copies"] > suspicious * len(samples)
    too_close = ratio is not None and ratio < SUSPICIOUS_RATIO
    return found | {"flagged": bool(near_too_often or too_close or exact_copies)}


def _near(samples: Floats, unseen: Floats) -> dict[str, Any]:
    """Test whether samples are nearer than unseen images, and count near copies; see `evidence`."""
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


def count_copies(images: NDArray[Any], training: Set[bytes]) -> int:
    """Count images or series (N, ...) that equal a training one in every value.

    training: the first DIGEST bytes of the SHA-256 of the values of each training example, of the same shape.
    """
    return sum(hashlib.sha256(image.tobytes()).digest()[:DIGEST] in training for image in images)
