"""The stage's whole logic: what it writes, and what that depends on."""

import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddpm.data.errors import DataError
from ddpm.data.prepared import load
from tests.support.imagefiles import encoded, zipped
from tests.support.preparing import NOISE, described, run, written

Files = dict[str, bytes]
Write = Callable[[Files], Path]


def test_the_array_holds_the_images_in_order_of_their_paths(good: Files, folder: Write, tmp_path: Path) -> None:
    found = run(folder(good), tmp_path / "out")
    prepared = load(tmp_path / "out", verify=True)
    assert prepared.classes == ("a", "b", "c")
    assert (prepared.resolution, prepared.channels, prepared.sha256) == (8, 1, found["sha256"])
    assert isinstance(prepared.images, np.memmap)
    prepared.images[0] = 0  # a private copy of one page: the file stays
    prepared = load(tmp_path / "out", verify=True)
    for index, name in enumerate(sorted(good)):
        assert (prepared.images[index, :, :, 0] == np.asarray(Image.open(io.BytesIO(good[name])))).all()
        assert prepared.classes[prepared.labels[index]] == name[0]
    assert sorted([*prepared.train_indices, *prepared.heldout_indices]) == list(range(240))
    assert not set(prepared.train_indices) & set(prepared.heldout_indices)
    assert found["train"] == len(prepared.train_indices)
    assert found["channels"]["mean"][0] == pytest.approx(float(prepared.images.mean()), abs=1e-5)
    assert found["channels"]["std"][0] == pytest.approx(float(prepared.images.std()), abs=1e-5)
    assert Image.open(tmp_path / "out" / "contact.png").width > 16 * 48


def test_the_result_depends_on_content_alone(good: Files, folder: Write, tmp_path: Path) -> None:
    """It depends neither on location, type of source, order and times of the files, nor on earlier content."""
    plain = folder(good)
    run(plain, tmp_path / "one")
    shuffled = list(good.items())
    random.Random(5).shuffle(shuffled)
    elsewhere = tmp_path / "else where"
    for name, content in shuffled:
        path = elsewhere / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
    run(elsewhere, tmp_path / "two")
    run(zipped(tmp_path / "images.zip", dict(shuffled)), tmp_path / "three")
    with tarfile.open(tmp_path / "images.tgz", "w:gz") as archive:
        for name, _ in shuffled:
            archive.add(elsewhere / name, name)
    run(tmp_path / "images.tgz", tmp_path / "three")
    expected = written(tmp_path / "one")
    assert set(expected) == {
        "images.npy",
        "labels.npy",
        "heldout.npy",
        "manifest.json",
        "images.jsonl",
        "duplicates.json",
        "statistics.json",
        "profile.npy",
        "profile.json",
        "contact.png",
    }
    assert written(tmp_path / "two") == expected
    assert written(tmp_path / "three") == expected
    assert str(tmp_path).encode() not in b"".join(expected.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_split_is_stable_when_images_come_go_and_move(
    seed: int, good: Files, folder: Write, tmp_path: Path
) -> None:
    def sides(location: Path) -> dict[str, bool]:
        run(location, tmp_path / "out", min_train=1)
        manifest = described(tmp_path / "out")
        return {one["pixels_sha256"]: one["heldout"] for one in manifest["images"]}

    chance = np.random.default_rng(seed)
    before = sides(folder(good))
    kept = {name: content for name, content in good.items() if chance.random() > 0.2}
    renamed = {f"b/{chance.integers(1 << 30)}{name[2:]}": content for name, content in kept.items()}
    more = {f"a/new{index}.png": encoded(chance.integers(0, 256, (8, 8), dtype=np.uint8)) for index in range(150)}
    after = sides(zipped(tmp_path / "other.zip", renamed | more))
    common = before.keys() & after.keys()
    assert len(common) == len(kept)
    assert {key: after[key] for key in common} == {key: before[key] for key in common}
    assert any(common and after[key] for key in after.keys() - before.keys())


def test_copies_are_found_and_never_lie_on_both_sides(good: Files, folder: Write, tmp_path: Path) -> None:
    """Whatever the file: the same pixels in another format are the same image."""
    copies = {
        f"{name[0]}/copy-{name[2:5]}.bmp": encoded(np.asarray(Image.open(io.BytesIO(content))), "BMP")
        for name, content in good.items()
    }
    near = np.asarray(Image.open(io.BytesIO(good["a/000.png"]))).copy()
    near[0, 0] ^= 1
    found = run(
        folder(good | copies | {"b/near.png": encoded(near), "b/twin.png": good["c/002.png"]}), tmp_path / "out"
    )
    manifest = described(tmp_path / "out")
    side = {one["path"]: one["heldout"] for one in manifest["images"]}
    assert len(manifest["duplicates"]["exact"]) == 240
    assert all(len({side[path] for path in group}) == 1 for group in manifest["duplicates"]["exact"])
    assert manifest["duplicates"]["near"] == [["a/000.png", "b/near.png"]]
    assert found["duplicates"]["exact"] == 241
    assert found["duplicates"]["exact_across_classes"] == 1


def test_near_copies_never_lie_on_both_sides(good: Files, folder: Write, tmp_path: Path) -> None:
    """Four frames of each scene, which differ by a grey level in a few pixels."""
    frames = {}
    for name, content in good.items():
        pixels = np.asarray(Image.open(io.BytesIO(content))).copy()
        for frame in range(4):
            frames[f"{name[:-4]}-{frame}.png"] = encoded(pixels)
            pixels[frame, 0] ^= 1
    found = run(folder(frames), tmp_path / "out")
    manifest = described(tmp_path / "out")
    side = {one["path"]: one["heldout"] for one in manifest["images"]}
    assert found["duplicates"]["near"] == 6 * 240
    assert found["duplicates"]["near_across_split"] == 0
    assert all(len({side[f"{name[:-4]}-{frame}.png"] for frame in range(4)}) == 1 for name in good)
    assert 0 < found["heldout"] < found["train"]


def test_a_set_that_near_duplicates_connect_names_the_remedy(good: Files, folder: Write, tmp_path: Path) -> None:
    """Each frame of a pan is near the next, so that all of them would lie on one side."""
    frames = {f"{'ab'[level % 2]}/{level:03}.png": encoded(np.full((8, 8), level, np.uint8)) for level in range(250)}
    with pytest.raises(DataError, match=r"250 of them are connected as near duplicates.*prepare\.near_duplicate"):
        run(folder(frames), tmp_path / "out", near_duplicate=1.0)
    assert run(folder(frames), tmp_path / "out", near_duplicate=0)["count"] == 250


def test_unlabelled_images(good: Files, folder: Write, tmp_path: Path) -> None:
    flat = {name.replace("/", "-"): content for name, content in good.items()}
    run(folder(flat), tmp_path / "out", labels="none")
    prepared = load(tmp_path / "out")
    assert prepared.classes == ()
    assert (prepared.labels == -1).all()
    with pytest.raises(DataError, match=r"not in class folders.*prepare\.labels: none"):
        run(tmp_path / "images", tmp_path / "out")


def test_images_beside_the_class_folders(good: Files, folder: Write, tmp_path: Path) -> None:
    location = folder(good | {"lost.png": encoded(NOISE)})
    with pytest.raises(DataError, match=r"(?s)1 images are outside.*lost\.png"):
        run(location, tmp_path / "out")
    assert run(location, tmp_path / "out", labels="none")["count"] == 241


def test_too_few_images(good: Files, folder: Write, tmp_path: Path) -> None:
    location = folder(good)
    with pytest.raises(DataError, match=r"240 images leave 1\d\d for training.*a batch is 200 \(train\.batch\)"):
        run(location, tmp_path / "out", min_train=200)
    for share in (0.05, 0.7):
        with pytest.raises(DataError, match=rf"prepare\.holdout = {share}\); evaluation needs 100 and 50"):
            run(location, tmp_path / "out", holdout=share)
    held = next(one["path"] for one in _manifest(location, tmp_path)["images"] if one["heldout"])
    (location / "rare").mkdir()
    (location / held).rename(location / "rare" / "1.png")
    with pytest.raises(DataError, match="No training images remain of: rare"):
        run(location, tmp_path / "out")


def test_prepare_asks_for_as_many_as_evaluation_does() -> None:
    from ddpm.data import prepare as module
    from ddpm.metrics import frechet

    assert module.SMALLEST_SET == frechet.SMALLEST_SET


def _manifest(location: Path, tmp_path: Path) -> Any:
    run(location, tmp_path / "probe")
    return described(tmp_path / "probe")


def test_all_files_bad_is_an_error_whatever_share_is_allowed(folder: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 of 3 files"):
        run(folder({f"a/{index}.png": b"" for index in range(3)}), tmp_path / "out", max_bad_fraction=1.0)


def test_colour_at_64(tmp_path: Path, folder: Write) -> None:
    random = np.random.default_rng(2)
    files = {
        f"{'ab'[index % 2]}/{index}.jpg": encoded(random.integers(0, 256, (80, 64, 3), dtype=np.uint8), "JPEG")
        for index in range(200)
    }
    found = run(folder(files), tmp_path / "out", resolution=64, channels=3)
    assert load(tmp_path / "out").images.shape == (200, 64, 64, 3)
    assert found["sizes"] == {"64x80": 200}


def test_a_changed_array_is_noticed(good: Files, folder: Write, tmp_path: Path) -> None:
    run(folder(good), tmp_path / "out")
    path = tmp_path / "out" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load(tmp_path / "out")
    with pytest.raises(DataError, match=r"changed after it was prepared.*dvc repro --force prepare"):
        load(tmp_path / "out", verify=True)
    np.save(tmp_path / "out" / "labels.npy", np.zeros(3, np.int64))
    with pytest.raises(DataError, match="is inconsistent"):
        load(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="dvc repro prepare"):
        load(tmp_path / "nowhere")
