"""Exact statistics of a prepared set, from counts."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.data.blocks import blocks
from ddpm.data.manifest import Contents
from ddpm.data.survey import counted

MOST_COMMON = 20


def collect(images: NDArray[np.uint8], contents: Contents) -> dict[str, Any]:
    """Collect counts, channel moments (0 to 255), sizes, modes, formats and duplicates of images (N, H, W, C)."""
    records, label, held = contents.records, contents.labels, contents.heldout
    return {
        "count": len(records),
        "train": int((~held).sum()),
        "heldout": int(held.sum()),
        "set_aside": len(contents.rejected),
        "classes": _per_class(contents),
        "channels": channel_moments(images),
        "sizes": _common(f"{record.size[0]}x{record.size[1]}" for record in records),
        "modes": _common(record.mode for record in records),
        "warnings": list(contents.warnings),
        "formats": _common(record.format for record in records),
        "duplicates": {
            "exact": sum(len(group) - 1 for group in contents.exact),
            "exact_across_classes": sum(len(set(label[group].tolist())) > 1 for group in contents.exact),
            "near": len(contents.near.pairs),
            "near_across_split": sum(bool(held[first] != held[second]) for first, second in contents.near.pairs),
            "near_complete": contents.near.complete,
        },
    }


def _per_class(contents: Contents) -> dict[str, dict[str, int]]:
    """Count training and held-out images of each class."""
    counts = Counter(zip(contents.labels.tolist(), contents.heldout.tolist(), strict=True))
    return {
        name: {"train": counts[index, False], "heldout": counts[index, True]}
        for index, name in enumerate(contents.classes)
    }


def _common(values: Any) -> dict[str, int]:
    """Count the most common values, and the images with other ones."""
    counts = Counter(values)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    common = dict(ordered[:MOST_COMMON])
    if len(ordered) > MOST_COMMON:
        common["other"] = sum(count for _, count in ordered[MOST_COMMON:])
    return common


def channel_moments(images: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Compute mean and standard deviation per channel, from histograms, so independent of summation order."""
    channels = images.shape[3]
    histogram = np.zeros((channels, 256), np.int64)
    for _, block in blocks(images):
        for channel in range(channels):
            histogram[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    total = histogram.sum(axis=1)
    mean = (histogram * values).sum(axis=1) / total
    square = (histogram * values**2).sum(axis=1) / total
    return {"mean": [round(float(m), 6) for m in mean], "std": [round(float(s), 6) for s in np.sqrt(square - mean**2)]}


def lines(found: dict[str, Any]) -> list[str]:
    """Format the statistics as lines."""
    twins = found["duplicates"]
    lines = [
        f"{found['count']:,} images: {found['train']:,} for training, {found['heldout']:,} held out",
        f"classes: {_shares(found['classes'])}",
        f"sizes: {counted(found['sizes'].items())}",
        f"modes: {counted(found['modes'].items())}; formats: {counted(found['formats'].items())}",
        f"exact duplicates: {twins['exact']:,}; near duplicates: {twins['near']:,} pairs"
        + ("" if twins["near_complete"] else " (at least; there are too many candidates to compare all)"),
    ]
    lines += [f"warning: {each}" for each in found["warnings"]]
    if twins["exact_across_classes"]:
        lines.append(f"note: {twins['exact_across_classes']:,} images have exact copies in more than one class")
    if twins["near_across_split"]:
        lines.append(f"note: {twins['near_across_split']:,} pairs of near duplicates span training and held-out split")
    lines += [
        f"note: class {name} has no held-out image" for name, share in found["classes"].items() if not share["heldout"]
    ]
    return lines


def _shares(classes: dict[str, dict[str, int]], limit: int = 12) -> str:
    """Format class counts as `2 (cats 120, dogs 80)`, or `none (unlabelled)`."""
    shown = [f"{name} {share['train'] + share['heldout']:,}" for name, share in list(classes.items())[:limit]]
    more = f" and {len(classes) - limit:,} more" if len(classes) > limit else ""
    return f"{len(classes):,} ({', '.join(shown)}{more})" if classes else "none (unlabelled)"
