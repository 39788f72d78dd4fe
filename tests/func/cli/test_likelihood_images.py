"""Images that `ddpm likelihood` measures and that a super-resolution model enlarges: some of every class."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddpm.cli import likelihood
from ddpm.data import prepared
from ddpm.imaging.pixels import to_pil
from ddpm.model.config import ModelConfig
from ddpm.sampling.to_folder import small_heldout
from tests.support import tiny

CLASSES = tuple("abcdefghij")
IMAGE = {"resolution": 4, "channels": 1, "classes": list(CLASSES), "label_dropout": 0.1}


@pytest.fixture
def sorted_set(monkeypatch: pytest.MonkeyPatch) -> Any:
    """3,000 images in the order of their classes, as they lie in out/prepare; every pixel of one is its class."""
    labels = np.sort(np.arange(3000) % 10)
    images = np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (3000, 4, 4, 1))
    held = np.flatnonzero(np.random.default_rng(0).random(3000) < 0.2)
    data = SimpleNamespace(images=images, labels=labels, classes=CLASSES, heldout_indices=held)
    monkeypatch.setattr(prepared, "load", lambda: data)
    return data


def config(condition: str = "none") -> ModelConfig:
    diffusion = {**tiny.CONFIG["diffusion"], "condition": condition}
    return tiny.typed({**tiny.CONFIG, "image": IMAGE, "diffusion": diffusion})


@pytest.mark.usefixtures("sorted_set")
@pytest.mark.parametrize("count", [None, 20])
def test_held_out_images_are_of_all_classes(count: int | None) -> None:
    images, labels, _ = likelihood.load_images("heldout", config(), count, None)
    found = np.bincount(labels, minlength=10)
    assert found.sum() == (count or 100)
    assert found.min() > 0
    assert found.max() < 2 * max(found.min(), 2)
    assert (images[:, 0, 0, 0] == labels).all()


def test_files_of_a_folder_are_of_all_its_folders_and_rows_of_an_array_of_all_of_it(tmp_path: Path) -> None:
    labels = np.sort(np.arange(100) % 5).astype(np.uint8)
    images = np.broadcast_to(labels[:, None, None, None], (100, 4, 4, 1))
    np.save(tmp_path / "array.npy", images)
    for number, image in enumerate(images):
        folder = tmp_path / "folder" / f"class {labels[number]}"
        folder.mkdir(parents=True, exist_ok=True)
        to_pil(np.array(image)).save(folder / f"{number}.png")
    for source, least in ((tmp_path / "folder", 4), (tmp_path / "array.npy", 1)):
        some, _, _ = likelihood.load_images(str(source), config(), 20, None)
        assert np.bincount(some[:, 0, 0, 0], minlength=5).min() >= least


def test_every_run_of_enlarged_images_is_of_all_classes(sorted_set: Any) -> None:
    low_res, labels = small_heldout(config("low-resolution-2"), 500)
    assert low_res is not None
    assert labels is not None
    assert (low_res[:, 0, 0, 0] == labels).all()
    for block in np.array(labels).reshape(10, 50):
        assert np.bincount(block, minlength=10).min() >= 3
