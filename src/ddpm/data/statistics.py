"""Exact statistics of a prepared set, from counts."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.data.survey import counted

BLOCK = 1024
MOST_COMMON = 20


def collect(images: NDArray[np.uint8], manifest: dict[str, Any], near_complete: bool) -> dict[str, Any]:
    """Collect counts, channel moments (0 to 255), sizes, modes, formats and duplicates of images (N, H, W, C)."""
    entries = manifest["images"]
    side = {entry["path"]: entry["heldout"] for entry in entries}
    label = {entry["path"]: entry["label"] for entry in entries}
    twins, pairs = manifest["duplicates"]["exact"], manifest["duplicates"]["near"]
    return {
        "count": len(entries),
        "train": sum(not entry["heldout"] for entry in entries),
        "heldout": sum(entry["heldout"] for entry in entries),
        "set_aside": len(manifest["set_aside"]),
        "classes": _per_class(entries, manifest["classes"]),
        "channels": channel_moments(images),
        "sizes": _common(f"{entry['size'][0]}x{entry['size'][1]}" for entry in entries),
        "modes": _common(entry["mode"] for entry in entries),
        "warnings": manifest["warnings"],
        "formats": _common(entry["format"] for entry in entries),
        "duplicates": {
            "exact": sum(len(group) - 1 for group in twins),
            "exact_across_classes": sum(len({label[path] for path in group}) > 1 for group in twins),
            "near": len(pairs),
            "near_across_split": sum(side[first] != side[second] for first, second in pairs),
            "near_complete": near_complete,
        },
    }


def _per_class(entries: list[dict[str, Any]], classes: list[str]) -> dict[str, dict[str, int]]:
    """Count training and held-out images of each class."""
    counts = Counter((entry["label"], entry["heldout"]) for entry in entries)
    return {name: {"train": counts[index, False], "heldout": counts[index, True]} for index, name in enumerate(classes)}


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
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
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
