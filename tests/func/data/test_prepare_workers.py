"""Preparation by several processes has the bytes and the errors of one."""

import random
from pathlib import Path

import numpy as np
import pytest

from ddpm.common.files import sha256_bytes
from ddpm.data import decode
from ddpm.data.entries import Entry
from ddpm.data.errors import DataError
from ddpm.data.sources import find
from ddpm.data.survey import survey
from ddpm.runtime import workers
from tests.support.imagefiles import encoded, zipped
from tests.support.preparing import described, run, written


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip of 200 images of several formats and sizes, in random order, with four damaged files among them."""
    chance = np.random.default_rng(1)
    files = {}
    for index in range(200):
        size = (8, 8) if index % 3 else (20, 9 + index % 5)
        pixels = chance.integers(0, 256, (*size, 3) if index % 4 == 0 else size, dtype=np.uint8)
        ending = "jpg" if index % 5 == 0 else "png"
        files[f"{'ab'[index % 2]}/{index:03}.{ending}"] = encoded(pixels, "JPEG" if ending == "jpg" else "PNG")
    for name in ("a/x.png", "b/a.png", "a/000x.jpg", "b/y.tif"):
        files[name] = b"damaged"
    names = list(files)
    random.Random(3).shuffle(names)
    return zipped(tmp_path / "set.zip", {name: files[name] for name in names})


def test_any_number_of_workers_writes_the_same_bytes(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "BATCH_FILES", 7)
    seen: dict[int, list[int]] = {1: [], 3: []}
    for count, advanced in seen.items():
        run(
            archive, tmp_path / f"out{count}", max_bad_fraction=0.1, holdout=0.4, workers=count, advance=advanced.append
        )
    first = written(tmp_path / "out1")
    assert written(tmp_path / "out3") == first
    assert sum(seen[1]) == sum(seen[3]) == 204
    found, images = described(tmp_path / "out3"), np.load(tmp_path / "out3" / "images.npy")
    assert [entry["pixels_sha256"] for entry in found["images"]] == [sha256_bytes(row.tobytes()) for row in images]
    aside = found["set_aside"]
    assert [each["path"] for each in aside] == ["a/000x.jpg", "a/x.png", "b/a.png", "b/y.tif"]


def test_errors_are_those_of_one_process(archive: Path, tmp_path: Path) -> None:
    messages = []
    for count in (1, 2):
        with pytest.raises(DataError) as raised:
            run(archive, tmp_path / "out", workers=count)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert messages[0].index("a/000x.jpg") < messages[0].index("a/x.png") < messages[0].index("b/y.tif")
    assert not (tmp_path / "out").exists()


def test_a_survey_by_several_processes_finds_the_same(archive: Path) -> None:
    found = [survey(find(archive), max_pixels=10_000, workers=count) for count in (1, 2)]
    assert found[0] == found[1]
    assert (found[0].count, len(found[0].bad), found[0].colour) == (200, 4, True)
    assert list(found[0].sizes.items()) == list(found[1].sizes.items())


@pytest.mark.parametrize(
    ("count", "size", "cores", "expected"),
    [(5000, 300, 16, 1), (80_000, 1000, 16, 9), (80_000, 1000, 2, 2), (1000, 400_000, 16, 16), (1, 10**12, 1, 1)],
)
def test_workers_are_started_for_long_work_only(
    count: int, size: int, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "available_cores", lambda: cores)
    assert decode.worthwhile_workers([Entry("a.png", size)] * count) == expected
