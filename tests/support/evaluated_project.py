"""A project folder whose stages run in seconds on two classes of 8x8 images."""

from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from ddpm.config import presets

PRESET = Path(__file__).parents[2] / "presets/quick.yaml"
CHANGES = {
    "features": {"images": 4000, "width": 4, "lr": 0.01},
    "sample": {"count": 100, "steps": 4, "batch": 50, "strip": 3},
    "evaluate": {"splits": 2, "blocks": 2, "neighbours": 4, "grid": 5},
}


def write_params(changes: dict[str, dict[str, object]]) -> None:
    yaml = YAML(typ="safe")
    settings = presets.values(PRESET)
    for section, values in changes.items():
        settings[section].update(values)
    with Path("params.yaml").open("w") as file:
        yaml.dump(settings, file)


def write_images() -> None:
    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 150)):
        Path("data", name).mkdir(parents=True)
        for number in range(200):
            pixels = random.integers(low, low + 100, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(f"data/{name}/{number:03d}.png")
