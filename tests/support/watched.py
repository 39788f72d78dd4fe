"""A project whose data are watched: images that face left in two classes, and a champion trained on such images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from ddpm import registry, tracking
from ddpm.config import presets
from ddpm.registry.versions import VERIFIED_TAG
from tests.support.records import DIGEST

PRESET = Path(__file__).parents[2] / "presets/quick.yaml"
NAME = "ddpm-digits"  # as in the preset


def write_params(max_drift: float = 0.15, **prepare: object) -> None:
    yaml = YAML()
    settings = presets.values(PRESET)
    settings["features"].update(images=6000, width=4, lr=0.01)
    settings["prepare"].update(near_duplicate=0.0, **prepare)
    settings["flow"]["max_drift"] = max_drift
    with Path("params.yaml").open("w") as file:
        yaml.dump(settings, file)


def write_images(seed: int, *, mirrored: bool = False, brighter: int = 0, count: int = 200) -> None:
    """Noise with a bright bar on the left, upper or lower: two classes that mirroring leaves what they are."""
    random = np.random.default_rng(seed)
    for name, rows in (("upper", slice(0, 4)), ("lower", slice(4, 8))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = random.integers(0, 90, (8, 8)) + brighter
            pixels[rows, :3] += 80
            shown = pixels[:, ::-1] if mirrored else pixels
            Image.fromarray(shown.astype(np.uint8)).save(f"data/{name}/{seed}-{number:03d}.png")


def make_champion(checkpoint: Path) -> int:
    """Record what is prepared as the data of a training, and register its model as the champion; the version."""
    run_id = tracking.complete(DIGEST, {"fid": 30.0}, tracking.data_record_files(), tracking.prepared_tags())
    number = registry.register(checkpoint, NAME, run_id)
    registry.annotate(NAME, number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1]})})
    registry.promote(NAME, number, why="first", expected_champion=None)
    return number
