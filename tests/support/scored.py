"""Sets of images to score, a classifier for them, and `ddpm score`."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from ddpm.cli import app

RANDOM = np.random.default_rng(0)


def noise(count: int, low: int, side: int = 8, channels: int = 1) -> np.ndarray:
    return RANDOM.integers(low, low + 100, (count, side, side, channels)).astype(np.uint8)


DARK, LIGHT = noise(120, 0), noise(120, 150)


REAL, FAKE = np.concatenate([DARK, LIGHT]), np.concatenate([noise(100, 10), noise(140, 140)])


def ddpm(*arguments: str) -> Result:
    """Run `ddpm score`, with the classifier of out/features unless another extractor is chosen."""
    chosen = [] if "--extractor" in arguments else ["--extractor", "classifier"]
    return CliRunner().invoke(app, ["score", *arguments, *chosen])


def printed_scores(*arguments: str) -> dict[str, object]:
    done = ddpm(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return dict(json.loads(done.stdout))


def write(folder: str, images: list[np.ndarray] | np.ndarray, ending: str = "png") -> None:
    Path(folder).mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(f"{folder}/{number:04d}.{ending}")
