"""`ddpm restore` from files to files, with a model of random weights, and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app
from tests.support import tiny
from tests.support.records import DIGEST

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 8 x 8 and 4 x 4 pixels, and a mask."""
    for size in (8, 4):
        (tmp_path / f"in{size}").mkdir()
        for index, pixels in enumerate(PIXELS):
            Image.fromarray(pixels[:size, :size]).save(tmp_path / f"in{size}" / f"{index}.png")
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[2:5, 3:6] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def restore(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["restore", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.parametrize(("task", "options"), [
    ("inpaint", ["--mask", "mask.png"]), ("super-resolution", ["--scale", "2"]), ("denoise", ["--noise", "0.4"]),
    ("denoise", ["--noise", "auto"]),
])  # fmt: skip
def test_each_task_makes_a_folder_of_files(
    folder: Path, tiny_checkpoint: Path, task: str, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    size = 4 if task == "super-resolution" else 8
    code, words = restore(
        task, "--model", tiny_checkpoint, "--input", f"in{size}", "--truth", "in8", "--out", "out", "--count", "2",
        "--steps", "3", "--rounds", "2", "--label", "light", *options,
    )  # fmt: skip
    assert code == 0, words
    assert "restored: PSNR" in words
    names = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.*")}
    each = {"restored-0.png", "restored-1.png", "mean.png", "spread.npy", "spread.png"}
    assert names == {"strip.png", "scores.json"} | {f"{index}/{name}" for index in range(3) for name in each}
    conditions = json.loads(Path("out/scores.json").read_text())["conditions"]
    assert (conditions["task"], conditions["label"], conditions["steps"]) == (task, 1, 3)
    code, words = restore(task, "--model", tiny_checkpoint, "--input", f"in{size}", "--out", "out", *options)
    assert code == 1
    assert "--out out exists; name another, or use --overwrite" in words


def test_a_model_that_was_trained_to_enlarge_does_that_and_nothing_else(folder: Path) -> None:
    model = tiny.random_checkpoint(folder / "model", tiny.enlarging())
    known = ("--model", model, "--input", folder / "in4")
    options = ("--truth", folder / "in8", "--count", "2", "--steps", "3", "--out", folder / "out")
    code, words = restore("super-resolution", *known, *options)
    assert code == 0, words
    assert "bicubic: PSNR" in words
    assert "note:" not in words
    assert (folder / "out" / "2" / "spread.png").is_file()
    conditions = json.loads((folder / "out" / "scores.json").read_text())["conditions"]
    assert (conditions["scale"], conditions["trained"], conditions["rounds"]) == (2, True, 1)
    code, words = restore("denoise", *known, "--noise", "0.1", "--out", folder / "other")
    assert code == 1
    assert "it supports super-resolution by 2, not denoise" in words
    done = CliRunner().invoke(app, ["sample", "--model", str(model), "--out", str(folder / "a.png")])
    assert done.exit_code == 1
    assert "use `ddpm restore super-resolution --model" in done.output


def test_a_version_without_settings_says_what_it_restores_with(project: Path, folder: Path) -> None:
    model = tiny.random_checkpoint(folder / "model", tiny.enlarging())
    registry.register(model, "enlarger", tracking.complete(DIGEST, {"psnr": 20.0}))
    known = ("--model", "models:/enlarger/1", "--input", folder / "in4", "--out", folder / "out", "--steps", "3")
    code, words = restore("super-resolution", *known)
    assert code == 0, words
    assert "note: models:/enlarger/1 has no sampling settings (it is an older version): " in words


@pytest.mark.parametrize(("arguments", "words"), [
    (["sharpen"], "task 'sharpen' is unknown; possible: inpaint, super-resolution, denoise, colourise"),
    (["inpaint"], "inpaint needs --mask"), (["super-resolution", "--scale", "3"], "one of 2, 4"),
    (["super-resolution", "--scale", "4"], "8 x 8 pixels, but 2 x 2 are needed"),
    (["colourise"], "needs a model of colour images"),
    (["denoise", "--noise", "0.1", "--label", "grey"], "dark, light"),
])  # fmt: skip
def test_refusals_come_before_the_weights_are_read(
    folder: Path, tiny_checkpoint: Path, arguments: list[str], words: str
) -> None:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes())  # and no weights
    code, said = restore(*arguments, "--model", model, "--input", folder / "in8", "--out", folder / "out")
    assert code == 1
    assert words in said
    assert not (folder / "out").exists()
