"""Pictures to restore: reading, order, masks, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddpm.data.errors import DataError
from ddpm.restore import inputs, tasks
from tests.support import tiny
from tests.support.restoring import GREY, MASK, MODEL, SIDE, TRUTH


@pytest.mark.parametrize(("task", "options", "words"), [
    ("sharpen", {}, "task 'sharpen' is unknown; possible: inpaint, super-resolution, denoise, colourise"),
    ("inpaint", {}, "inpaint needs --mask"), ("denoise", {"noise": "0.1", "mask": True}, "--mask is for inpaint only"),
    ("super-resolution", {}, "super-resolution needs --scale: for this model's images of side 8, one of 2, 4"),
    ("super-resolution", {"scale": 3}, "scale = 3: for this model's images of side 8, one of 2, 4"),
    ("denoise", {"noise": "1", "scale": 2}, "--scale is for super-resolution only"),
    ("denoise", {}, "denoise needs --noise"), ("denoise", {"noise": "some"}, "noise = 'some': must be a number"),
    ("denoise", {"noise": "0"}, "noise = 0: must be above 0"), ("denoise", {"noise": "nan"}, "noise = nan"),
    ("denoise", {"noise": "1e9"}, "and at most"), ("colourise", {}, "colourise needs a model of colour images"),
    ("denoise", {"noise": "0.1", "count": 2, "steps": 1}, "would be equal"),
    ("denoise", {"noise": "0.1", "count": 2, "sampler": "ddim"}, "would be equal"),
    ("denoise", {"noise": "0.1", "steps": 51}, "this model has T = 50"),
    ("denoise", {"noise": "0.1", "sampler": "best"}, "sampler = 'best' is unknown; possible: ddpm"),
    ("denoise", {"noise": "0.1", "label": 2}, "label 2 does not exist"),
    ("denoise", {"noise": "0.1", "rounds": 0}, "rounds must be 1 or more"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_words(task: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tasks.plan(tiny.typed(), task, **options)


def test_models_that_cannot_restore_are_refused() -> None:
    enlarging = tiny.typed(tiny.enlarging())
    for task, options in (("denoise", {"noise": "0.1"}), ("inpaint", {"mask": True}), ("colourise", {})):
        with pytest.raises(ValueError, match=f"is a super-resolution model .* super-resolution by 2, not {task}"):
            tasks.plan(enlarging, task, **options)
    with pytest.raises(ValueError, match=r"scale = 4: this model was trained for scale 2 only"):
        tasks.plan(enlarging, "super-resolution", scale=4)
    with pytest.raises(ValueError, match=r"noise = auto: this model was trained on small pictures without noise"):
        tasks.plan(enlarging, "super-resolution", noise="auto")
    assert tasks.plan(enlarging, "super-resolution", scale=2) == tasks.plan(enlarging, "super-resolution")
    by_class = tiny.typed({**tiny.CONFIG, "image": {**tiny.CONFIG["image"], "label_dropout": 0.0}})
    with pytest.raises(ValueError, match="give --label, one of dark, light"):
        tasks.plan(by_class, "denoise", noise="0.1")
    assert tasks.plan(by_class, "denoise", noise="0.1", label=1).label == 1


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_are_read_in_order_with_mask_and_truth(tmp_path: Path) -> None:
    plan = tasks.plan(MODEL.config, "inpaint", mask=True)
    for name, image in zip(("b", "sub/a"), TRUTH[:, :, :, 0], strict=False):
        save(tmp_path / "in" / f"{name}.png", image)
        save(tmp_path / "true" / f"{name}.bmp", image)
    mask = save(tmp_path / "mask.png", np.where(MASK, 0, 255).astype(np.uint8))
    found = inputs.read(plan, tmp_path / "in", mask, tmp_path / "true")
    assert found.names == ("b", "sub/a")
    np.testing.assert_array_equal(found.observed, TRUTH[:2])
    np.testing.assert_array_equal(found.truth, TRUTH[:2])  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.known, MASK)  # type: ignore[arg-type]
    one = inputs.read(plan, tmp_path / "in" / "b.png", mask, tmp_path / "true" / "sub" / "a.bmp")
    assert one.names == ("b",)  # file for file, whatever their names


def test_wrong_pictures_are_refused_in_words(tmp_path: Path) -> None:
    plan = tasks.plan(MODEL.config, "super-resolution", scale=2)
    picture, wrong = save(tmp_path / "a.png", GREY[0, ::2, ::2, 0]), save(tmp_path / "b.png", GREY[0, :, :9, 0])
    with pytest.raises(
        DataError, match=r"b.png cannot be used: it has 9 x 16 pixels, but 8 x 8 are needed .*scale is 2"
    ):
        inputs.read(plan, wrong)
    with pytest.raises(DataError, match="has no pictures of the same name"):
        inputs.read(plan, save(tmp_path / "in" / "a.png", GREY[0, ::2, ::2, 0]).parent, truth=save(
            tmp_path / "true" / "c.png", GREY[0, :, :, 0]).parent)  # fmt: skip
    with pytest.raises(DataError, match="a mask has the size of the model's images"):
        inputs.read_mask(picture, SIDE)
    for value, words in ((0, "is all black"), (255, "is all white")):
        with pytest.raises(DataError, match=words):
            inputs.read_mask(save(tmp_path / "mask.png", np.full((SIDE, SIDE), value, dtype=np.uint8)), SIDE)
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:40])
    with pytest.raises(DataError, match=r"broken.png cannot be used: its content is not PNG"):
        inputs.read(plan, tmp_path / "broken.png")
    with pytest.raises(DataError, match="does not exist"):
        inputs.read(plan, tmp_path / "nowhere")
