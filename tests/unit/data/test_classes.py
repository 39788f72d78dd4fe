"""Folders are questioned before they become classes, and labels are read where a set has them in a file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.data.classes import of_folders
from ddpm.data.sources import find
from tests.support.imagefiles import zipped
from tests.support.preparing import described, run

Write = Callable[[dict[str, bytes]], Path]


def paths(*folders: str, each: int = 2) -> list[str]:
    return [f"{folder}/{number}.png" for folder in folders for number in range(each)]


@pytest.mark.parametrize(
    "splits",
    [
        ["train", "test"],
        ["Train", "Val", "Test"],
        ["training_set", "test_set"],
        ["train2017", "val2017"],
        ["seg_train", "seg_test", "seg_pred"],
        ["train", "test", "extra"],
        ["images_training_rev1", "images_test_rev1"],
        ["TRAIN", "HOLD-OUT"],
        ["100CANON", "101CANON"],
    ],
)
def test_parts_of_one_set_are_no_classes(splits: list[str]) -> None:
    inside = of_folders(paths(*(f"pets/{split}/{name}" for split in splits for name in ("cats", "dogs"))))
    assert set(inside.names) == {"cats", "dogs"}
    assert splits[-1] in inside.notes[0]
    assert "the classes are the folders in them (cats, dogs)" in inside.notes[1]
    flat = of_folders(paths(*splits))
    assert set(flat.names) == {None}
    assert "their images have no class" in flat.notes[1]


@pytest.mark.parametrize(
    "classes",
    [
        ["cats", "dogs"],
        ["train", "car", "plane"],
        ["trainers", "testers"],
        ["invoice", "license", "readme"],
        [str(number) for number in range(12)],
        ["extra", "image"],
        ["old", "young"],
        ["a", "x"],
    ],
)
def test_classes_stay_classes_without_a_word(classes: list[str]) -> None:
    found = of_folders(paths(*classes))
    assert set(found.names) == set(classes)
    assert not found.notes


@pytest.mark.parametrize(
    ("folders", "doubtful"),
    [
        (["train", "test", "docs"], "test, train are taken as classes"),
        (["trainA", "trainB", "testA", "testB"], "testA, testB, trainA, trainB are"),
        (["images", "masks"], "masks is taken as class"),
        (["cats", "thumbnails"], "thumbnails is"),
        (["2021", "2022"], "2021, 2022 are"),
        (["part_01", "part_02"], "part_01, part_02 are"),
        (["00000", "00001"], "00000, 00001 are"),  # classes of traffic signs, whose files are counted anew
    ],
)
def test_doubtful_folders_are_taken_and_named(folders: list[str], doubtful: str) -> None:
    found = of_folders(paths(*folders))
    assert set(found.names) == set(folders)
    assert doubtful in found.notes[0]


def test_names_in_notes_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in of_folders(paths("train/\x1b[2Ja", "test/b")).notes[1]


@pytest.mark.parametrize("word", ["part-", "shard", "fold_", "batch "])
def test_shards_that_hold_the_same_folders_are_seen_through(word: str) -> None:
    found = of_folders(paths(*(f"{word}{number}/{name}" for number in (1, 2) for name in ("cats", "dogs"))))
    assert set(found.names) == {"cats", "dogs"}
    assert "shards" in found.notes[0]


@pytest.mark.parametrize(
    "name",
    [
        lambda number: f"{number // 1000:05d}/img{number:08d}.png",  # StyleGAN, EDM
        lambda number: f"{number // 1000 * 1000:05d}/{number:05d}.png",  # FFHQ
        lambda number: f"{number % 1000:04d}/{number}.png",  # Danbooru
        lambda number: f"{number // 100:05d}/img{number:08d}.png",
    ],
)
def test_numbered_chunks_are_no_classes(name: Callable[[int], str]) -> None:
    found = of_folders([name(number) for number in range(0, 3000, 7)])
    assert set(found.names) == {None}
    assert "numbered chunks" in found.notes[0]


def test_splits_and_chunks_in_each_other() -> None:
    names = [f"set/{'train' if n % 5 else 'val'}/{n // 100:05d}/img{n:08d}.png" for n in range(400)]
    found = of_folders(names)
    assert set(found.names) == {None}
    assert [word in " ".join(found.notes) for word in ("splits", "chunks")] == [True, True]


LABELS = {
    "numbers": lambda number: number % 3,
    "names": lambda number: "abc"[number % 3],
    "vectors with one 1": lambda number: [float(number % 3 == place) for place in range(3)],
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("packed", [True, False])
def test_the_labels_of_dataset_json(
    kind: str, packed: bool, good: dict[str, bytes], folder: Write, tmp_path: Path
) -> None:
    files = {f"{number // 100:05d}/img{number:08d}.png": content for number, content in enumerate(good.values())}
    rows = [[name.replace("/", "\\" if number % 2 else "/"), LABELS[kind](number)] for number, name in enumerate(files)]
    files["dataset.json"] = json.dumps({"labels": rows}).encode()
    location = zipped(tmp_path / "set.zip", files) if packed else folder(files)
    source = find(location)
    run(location, tmp_path / "out")
    manifest = described(tmp_path / "out")
    assert manifest["classes"] == (["a", "b", "c"] if kind == "names" else ["0", "1", "2"])
    assert [one["label"] for one in manifest["images"]] == [number % 3 for number in range(240)]
    assert manifest["set_aside"] == []
    assert "dataset.json" in source.notes()[0]


@pytest.mark.parametrize(
    ("content", "names", "note"),
    [
        ({"labels": None}, {None}, "have no labels"),
        ({"labels": [["set/a/0.png", 1], ["set/a/1.png", 1]]}, {"1", None}, "no class for 2 images"),
        ({"labels": [["a/0.png", [0.3, 0.7]]]}, {None}, "and are not used"),
        ({"labels": [["a/0.png", "../../x"]]}, {None}, "and are not used"),
    ],
)
def test_a_dataset_json_that_says_less(content: object, names: set[str | None], note: str, folder: Write) -> None:
    files = dict.fromkeys(paths("set/a", "set/b"), b"x")
    source = find(folder(files | {"dataset.json": json.dumps(content).encode()}))
    assert set(source.class_names(list(files))) == names
    assert any(note in one for one in source.notes())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"images": []}', b'{"labels": [1]}', b"[" * 100_000, b"\xff"])
def test_another_dataset_json_is_one_more_file(content: bytes, folder: Write) -> None:
    files = dict.fromkeys(paths("a", "b"), b"x") | {"dataset.json": content}
    source = find(folder(files))
    assert set(source.class_names(paths("a", "b"))) == {"a", "b"}
    assert "dataset.json" in [entry.path for entry in source.entries]
