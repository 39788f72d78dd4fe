"""The profile of a data set: exact numbers on any machine, and the same bytes for the same images."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.data import profile
from ddpm.data.errors import DataError
from tests.support.imagefiles import encoded
from tests.support.preparing import run

Files = dict[str, bytes]
Write = Callable[[Files], Path]


def test_prepare_leaves_a_profile_of_every_image(good: Files, folder: Write, tmp_path: Path) -> None:
    white = np.full((20, 10), 255, np.uint8)
    white[:, :5] = 0
    found = run(folder(good | {"a/0.png": encoded(white, "PNG")}), tmp_path / "out")
    kept = profile.load(tmp_path / "out")
    assert kept.data_sha256 == found["sha256"]
    assert kept.class_counts() == {"a": 81, "b": 80, "c": 80}
    assert kept.mode_counts() == {"L": 241}
    assert kept.size_counts() == {"8x8": 240, "10x20": 1}
    assert Counter(kept.values("side").tolist()) == {8: 240, 10: 1}
    images = np.load(tmp_path / "out" / "images.npy").astype(float)
    assert kept.rows["brightness"] == pytest.approx(images.mean(axis=(1, 2, 3)), rel=1e-6)
    assert kept.rows["contrast"] == pytest.approx(images.std(axis=(1, 2, 3)), rel=1e-6)
    assert kept.rows["brightness"][0] == 127.5
    assert kept.rows["contrast"][0] > 115


def test_the_same_images_give_the_same_bytes(good: Files, folder: Write, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(folder(good), tmp_path / name)
    for name in (profile.ROWS, profile.HEAD):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_set_without_labels_has_one_class_that_says_so(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out", labels="none")
    assert profile.load(tmp_path / "out").class_counts() == {profile.UNLABELLED: 240}


def test_a_profile_in_another_layout_is_refused(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    np.save(tmp_path / "out" / profile.ROWS, np.zeros(3))
    with pytest.raises(DataError, match=r"another layout.*dvc repro --force prepare"):
        profile.load(tmp_path / "out")
