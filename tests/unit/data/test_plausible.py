"""Plausibility of a whole set: implausible sets are refused or cause a warning, with the reason."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm.data import statistics
from ddpm.data.errors import DataError
from ddpm.data.prepared import load
from ddpm.data.sources import find
from ddpm.data.survey import lines, survey
from tests.support.imagefiles import encoded
from tests.support.preparing import described, run

Files = dict[str, bytes]
Write = Callable[[Files], Path]
STORE = Path(__file__).parents[3] / "assets/dvcstore/files/md5"


def some(count: int, make: Callable[[np.random.Generator], np.ndarray], names: str = "ab") -> Files:
    return {f"{names[i % 2]}/{i:03d}.png": encoded(make(np.random.default_rng(i))) for i in range(count)}


def icon(random: np.random.Generator, ink: int = 0) -> np.ndarray:
    values = np.full((8, 8, 4), ink, np.uint8)
    values[..., 3] = 255 * (random.random((8, 8)) < 0.4)
    return values


def noise(random: np.random.Generator, low: int = 0, high: int = 256) -> np.ndarray:
    return random.integers(low, high, (8, 8), dtype=np.uint8)


def warned(files: Files, folder: Write, tmp_path: Path, **changes: Any) -> list[str]:
    found = run(folder(files), tmp_path / "out", **changes)
    manifest = described(tmp_path / "out")
    lines = [line.removeprefix("warning: ") for line in statistics.lines(found) if line.startswith("warning: ")]
    assert manifest["warnings"] == lines
    return lines


def test_a_set_that_uses_all_values_has_no_warning(folder: Write, tmp_path: Path) -> None:
    assert warned(some(240, noise), folder, tmp_path) == []


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 15, "the brightest pixel of the set is 14 of 255"),
        (240, 256, "the darkest pixel of the set is 240 of 255"),
        (100, 121, "all pixels of the set lie between 100 and 120 of 255"),
    ],
)
def test_a_set_that_uses_few_values(low: int, high: int, said: str, folder: Write, tmp_path: Path) -> None:
    assert warned(some(240, lambda random: noise(random, low, high)), folder, tmp_path) == [said]


@pytest.mark.parametrize("bright", [0, 200])
def test_12_bits_in_16_are_warned_about_even_beside_bright_images(bright: int, folder: Write, tmp_path: Path) -> None:
    dark = some(240, lambda random: random.integers(0, 4096, (8, 8)).astype(np.uint16))
    (line,) = warned(dark | some(bright, noise, "cd"), folder, tmp_path)
    assert ("16 of 255" in line) == ("15 of 255" not in line)
    assert "brightest pixel" in line
    assert "4,095 for 12 bits" in line
    assert "multiply their values" in line


@pytest.mark.parametrize(("background", "ink", "other"), [(0, 0, 255), (255, 255, 0), (128, 128, 0)])
def test_icons_that_vanish_in_the_background(
    background: int, ink: int, other: int, folder: Write, tmp_path: Path
) -> None:
    icons = some(240, lambda random: icon(random, ink))
    with pytest.raises(DataError, match=f"prepare.background = {background} makes invisible") as raised:
        run(folder(icons), tmp_path / "out", background=background)
    assert f"Set prepare.background: {other}." in str(raised.value)
    mixed = icons | {name.replace("/", "/noise-"): content for name, content in some(240, noise).items()}
    (line,) = warned(mixed, folder, tmp_path, background=background)
    assert line.startswith("240 of 480 images are invisible")
    assert f"prepare.background = {background}; {other} would show it" in line


def test_a_class_that_vanishes_is_not_said_to_be_too_small(folder: Write, tmp_path: Path) -> None:
    """White on white is held out as one image, so that training has none of these classes."""
    files = some(240, lambda random: icon(random, 255)) | some(240, noise, "cd")
    with pytest.raises(
        DataError, match=r"remain of: a, b\. Only 241 of 480 .*; 240 of 480 images are invisible: .*; 0 wo"
    ):
        run(folder(files), tmp_path / "out", background=255)
    assert warned(files, folder, tmp_path, background=0) == []


def test_images_that_are_all_the_same_are_refused_as_that(folder: Write, tmp_path: Path) -> None:
    same = some(240, lambda random: noise(np.random.default_rng(0)))
    with pytest.raises(DataError, match=r"All 240 images are identical once prepared, in every pixel"):
        run(folder(same), tmp_path / "out")
    clear = some(
        240, lambda random: np.dstack([np.repeat(noise(random)[:, :, None], 3, 2), np.zeros((8, 8), np.uint8)])
    )
    with pytest.raises(DataError, match=r"All 240 images .*: they are fully transparent"):
        run(folder(clear), tmp_path / "out")


def test_few_images_many_times_are_said_to_be_copies(folder: Write, tmp_path: Path) -> None:
    two = {f"{'ab'[i % 2]}/{i:03d}.png": encoded(noise(np.random.default_rng(i % 2))) for i in range(240)}
    with pytest.raises(DataError, match="Only 2 of 240 images differ, and copies stay on one side of the split"):
        run(folder(two), tmp_path / "out")


def test_flat_images_are_counted(folder: Write, tmp_path: Path) -> None:
    flat = {f"a/{i:03d}.png": encoded(np.full((8, 8), i, np.uint8)) for i in range(100)}
    assert warned(flat | some(240, noise, "bc"), folder, tmp_path) == [
        "100 of 340 images have one colour in every pixel"
    ]


def test_classes_that_are_numbers_are_in_their_order(folder: Write, tmp_path: Path) -> None:
    """Label 2 is the folder 2, also where there is a folder 10."""
    names = [str(number) for number in range(12)]
    files = {f"{names[i % 12]}/{i:03d}.png": encoded(noise(np.random.default_rng(i))) for i in range(480)}
    location = folder(files)
    run(location, tmp_path / "out")
    prepared = load(tmp_path / "out")
    assert list(prepared.classes) == names
    assert list(survey(find(location), max_pixels=10_000).classes) == names
    manifest = described(tmp_path / "out")
    assert all(int(each["path"].split("/")[0]) == each["label"] for each in manifest["images"])


@pytest.mark.parametrize(
    ("file", "resolution", "sha256"),
    [
        ("d8/0fbdb7c9279e1d4c347e6145da7604", 8, "32a566eecb6f97f0c0dbc75b9f3c9e8b61fea3b49165a6e7060611f633300141"),
        ("d6/75aff6388bea80061459d502a1dcc0", 28, "c1a80e877c200fdf93fbb8d9f24fc6b17b006cd15fbdbb4fc1c4e57ae8df7625"),
    ],
)
def test_the_sets_of_the_project_keep_every_byte(file: str, resolution: int, sha256: str, tmp_path: Path) -> None:
    """The digits of 8 x 8 and of 28 x 28 pixels, labels and split included."""
    shutil.copy(STORE / file, tmp_path / "set.zip")
    found = run(tmp_path / "set.zip", tmp_path / "out", resolution=resolution, holdout=0.2, near_duplicate=0)
    assert found["sha256"] == sha256
    assert found["warnings"] == []


def test_a_survey_says_what_becomes_of_transparency(folder: Write) -> None:
    opaque = some(4, lambda random: np.dstack([*(noise(random) for _ in "rgb"), np.full((8, 8), 255, np.uint8)]))
    seen = some(6, lambda random: icon(random, 200), "cc")
    unseen = some(5, icon, "dd")
    source = find(folder({name: content for files in (opaque, seen, unseen) for name, content in files.items()}))
    found = survey(source, max_pixels=100)
    assert (found.transparent, found.invisible) == (11, 5)
    assert (
        "transparency: in 11 images, laid over black (prepare.background = 0); 5 of these images then show nothing"
        in lines(found)
    )
    on_white = survey(source, max_pixels=100, background=255)
    assert "transparency: in 11 images, laid over white (prepare.background = 255)" in lines(on_white)
