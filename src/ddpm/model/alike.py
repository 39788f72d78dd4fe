"""Comparability of two models: whether equal seeds give images of the same kind."""

from collections.abc import Mapping
from typing import Any


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Differences between the configs of two checkpoints in resolution, channels, classes or condition."""
    kinds = [_kind(each) for each in (first, second)]
    if sorted(first["image"]["classes"]) == sorted(second["image"]["classes"]):
        kinds[1]["classes"] = kinds[0]["classes"]  # in another order: each is asked for by its name
    return [f"{name} {ours} against {kinds[1][name]}" for name, ours in kinds[0].items() if ours != kinds[1][name]]


def _kind(config: Mapping[str, Any]) -> dict[str, str]:
    image = config["image"]
    return {
        "resolution": str(image["resolution"]),
        "channels": str(image["channels"]),
        "classes": ", ".join(image["classes"]) or "none",
        "condition": str(config["diffusion"]["condition"]),
    }
