"""The manifest: its head without its lines, and sets that an older version prepared."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.data import manifest, profile
from ddpm.data.errors import DataError
from ddpm.data.prepared import load
from tests.support.imagefiles import encoded
from tests.support.preparing import described, run

Files = dict[str, bytes]
Write = Callable[[Files], Path]


def as_version_1(folder: Path) -> None:
    """Rewrite a set's manifest in the layout of version 1: one file."""
    whole = described(folder) | {"version": 1}
    del whole["count"]
    files.write_json(folder / manifest.HEAD, whole)
    (folder / manifest.LINES).unlink()
    (folder / manifest.DUPLICATES).unlink()


def test_line_i_is_about_row_i(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    prepared = load(tmp_path / "out")
    lines = (tmp_path / "out" / manifest.LINES).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 240
    for index, line in enumerate(lines):
        entry = json.loads(line)
        assert entry["pixels_sha256"] == files.sha256_bytes(prepared.images[index].tobytes())
        assert entry["sha256"] == files.sha256_bytes(good[entry["path"]])
        assert (entry["label"], entry["heldout"]) == (prepared.labels[index], prepared.heldout[index])
        assert (entry["format"], entry["mode"], entry["size"], entry["done"]) == ("PNG", "L", [8, 8], [])


def test_loading_reads_no_line_of_an_image(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    assert "images" not in files.read_json(tmp_path / "out" / manifest.HEAD)
    (tmp_path / "out" / manifest.LINES).write_text("damaged")
    assert len(load(tmp_path / "out", verify=True).images) == 240


def test_a_set_prepared_by_an_older_version_can_be_read(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good | {"a/copy.png": good["b/001.png"]}), tmp_path / "out")
    before, described_before = load(tmp_path / "out"), described(tmp_path / "out")
    as_version_1(tmp_path / "out")
    after = load(tmp_path / "out", verify=True)
    assert (after.sha256, after.classes, after.resolution) == (before.sha256, before.classes, before.resolution)
    assert (after.images == before.images).all()
    again = described(tmp_path / "out")
    assert again == described_before | {"version": 1}
    assert again["duplicates"]["exact"] == [["a/copy.png", "b/001.png"]]


def test_a_head_of_another_count_is_noticed(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    head = files.read_json(tmp_path / "out" / manifest.HEAD)
    files.write_json(tmp_path / "out" / manifest.HEAD, head | {"count": 239})
    with pytest.raises(DataError, match="239 images in the manifest"):
        load(tmp_path / "out")


def test_a_name_with_line_separators_stays_on_its_line(good: Files, folder: Write, tmp_path: Path) -> None:
    odd = "a/x\u2028\u0085\ny.png"
    run(folder(good | {odd: encoded(np.full((8, 8), 9, np.uint8))}), tmp_path / "out")
    paths = [entry["path"] for entry in manifest.read_images(tmp_path / "out")]
    assert odd in paths
    assert len(paths) == 241


def test_digests_of_training_images_are_those_of_their_pixels(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    prepared = load(tmp_path / "out")
    expected = {files.sha256_bytes(prepared.images[index].tobytes())[:32] for index in prepared.train_indices}
    assert {digest.hex() for digest in prepared.train_digests()} == expected
    kept = files.read_json(tmp_path / "out" / profile.HEAD)
    files.write_json(tmp_path / "out" / profile.HEAD, kept | {"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="its profile is of other images"):
        prepared.train_digests()
