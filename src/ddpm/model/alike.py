"""Comparability of two models: whether equal seeds give examples of the same kind."""

from ddpm.model.config import ModelConfig


def differences(first: ModelConfig, second: ModelConfig) -> list[str]:
    """Differences between the configs of two checkpoints in kind, shape, columns, classes or condition."""
    kinds = [_kind(each) for each in (first, second)]
    if sorted(first.image.classes) == sorted(second.image.classes):
        kinds[1]["classes"] = kinds[0]["classes"]  # in another order: each is asked for by its name
    return [f"{name} {ours} against {kinds[1][name]}" for name, ours in kinds[0].items() if ours != kinds[1][name]]


def _kind(config: ModelConfig) -> dict[str, str]:
    return {
        "kind": config.image.kind,
        "resolution": str(config.image.resolution),
        "channels": str(config.image.channels),
        "columns": ", ".join(config.image.columns),
        "transform": config.image.transform,
        "classes": ", ".join(config.image.classes) or "none",
        "condition": config.diffusion.condition,
    }
