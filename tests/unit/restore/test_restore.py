"""Restoration with the best model there is of a small set of digits: better than what needs no model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from ddpm.data.errors import DataError
from ddpm.diffusion.pixels import NotFiniteError, to_tensor, to_uint8
from ddpm.metrics import psnr_ssim
from ddpm.model import build, checkpoint
from ddpm.restore import inputs, outputs, run, tasks
from tests.support import ideal, tiny

SIDE = 16
COLOURS = np.random.default_rng(0).uniform(0.2, 1.0, (10, 3))


def digits(coloured: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 16 x 16 pixels, (N, H, W, C) uint8; in colour, each class in one of its own."""
    small, labels = load_digits(return_X_y=True)
    large = (small.reshape(-1, 8, 8) * (255 / 16)).repeat(2, axis=1).repeat(2, axis=2)[..., None]
    images = large * COLOURS[labels][:, None, None, :] if coloured else large
    return np.rint(images).astype(np.uint8), labels


GREY, LABELS = digits()
MODEL = ideal.model(GREY, LABELS, tuple("0123456789"))
TRUTH = GREY[100:106]
MASK = np.ones((SIDE, SIDE), dtype=bool)
MASK[5:12, 4:13] = False


def given(observed: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> inputs.Inputs:
    return inputs.Inputs(tuple(f"{index}" for index in range(len(observed))), observed, known, truth)


def pooled(images: np.ndarray, scale: int) -> np.ndarray:
    side = images.shape[1] // scale
    return np.rint(images.reshape(-1, side, scale, side, scale, images.shape[3]).mean(axis=(2, 4))).astype(np.uint8)


def noisy(images: np.ndarray, sigma: float) -> np.ndarray:
    clean = to_tensor(torch.from_numpy(images))
    return to_uint8(clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))


def scores(model: checkpoint.Model, source: inputs.Inputs, task: str, **options: Any) -> dict[str, Any]:
    plan = tasks.plan(model.config, task, mask=source.known is not None, **options)
    restored = run.restore(model, plan, run.observe(plan, source, model.config.diffusion))
    return outputs.scores(plan, restored, source.truth)


@pytest.mark.parametrize("scale", [2, 4])
def test_super_resolution_is_better_than_bicubic(scale: int) -> None:
    found = scores(MODEL, given(pooled(TRUTH, scale), TRUTH), "super-resolution", scale=scale, rounds=2, count=2)
    assert found["restored"]["psnr"] > found["bicubic"]["psnr"] + 3
    assert found["restored"]["ssim"] > found["bicubic"]["ssim"]


def test_a_model_that_was_trained_to_enlarge_is_given_the_small_picture() -> None:
    trained = ideal.model(GREY, LABELS, tuple("0123456789"), scale=2)
    source = given(pooled(TRUTH, 2), TRUTH)
    plan = tasks.plan(trained.config, "super-resolution", count=2)
    assert (plan.scale, plan.rounds, plan.trained) == (2, 1, True)
    restored = run.restore(trained, plan, run.observe(plan, source, trained.config.diffusion))
    found = outputs.scores(plan, restored, TRUTH)
    assert found["restored"]["psnr"] > found["bicubic"]["psnr"] + 10
    assert outputs.conditions(plan, "", "")["trained"]
    assert restored.spread is not None


def test_inpainting_is_better_than_filling() -> None:
    found = scores(MODEL, given(TRUTH, TRUTH, MASK), "inpaint", count=2)
    assert found["restored"]["psnr"] > found["fill"]["psnr"] + 3
    assert found["restored"]["ssim"] > found["fill"]["ssim"]


@pytest.mark.parametrize("sigma", [0.2, 0.5])
@pytest.mark.parametrize("noise", ["number", "auto"])
def test_denoising_is_better_than_the_median(sigma: float, noise: str) -> None:
    source = given(noisy(TRUTH, sigma), TRUTH)
    found = scores(MODEL, source, "denoise", noise=str(sigma) if noise == "number" else noise)
    assert found["restored"]["psnr"] > found["median"]["psnr"] + 3


def test_noise_that_a_file_cut_off_does_not_make_black_brighter() -> None:
    """Of flat pictures of every grey, a noisy black one: cut off at black, its mean is that of a much brighter one."""
    flat = np.arange(256, dtype=np.uint8)[:, None, None, None].repeat(SIDE, 1).repeat(SIDE, 2)
    observed = noisy(flat[:1], 0.5)
    assert observed.mean() > 20
    plan = tasks.plan(ideal.model(flat).config, "denoise", noise="0.5")
    model = ideal.model(flat)
    restored = run.restore(model, plan, run.observe(plan, given(observed, flat[:1]), model.config.diffusion))
    assert restored.images.max() <= 8


def test_colour_is_better_than_grey() -> None:
    images, _ = digits(coloured=True)
    truth = images[100:106]
    luma = np.rint(truth @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8)
    found = scores(ideal.model(images), given(luma, truth), "colourise", count=2)
    assert found["restored"]["psnr"] > found["grey"]["psnr"] + 3


def test_a_noisy_small_picture_is_restored_better_when_its_noise_is_told() -> None:
    source = given(noisy(pooled(TRUTH, 2), 0.3), TRUTH)
    told = scores(MODEL, source, "super-resolution", scale=2, noise="0.3", rounds=2, count=4)
    untold = scores(MODEL, source, "super-resolution", scale=2, rounds=2, count=4)
    assert told["restored"]["psnr"] > untold["restored"]["psnr"]
    assert told["restored"]["psnr"] > told["bicubic"]["psnr"]


def test_the_label_chooses_among_what_could_have_been() -> None:
    """With all of a digit hidden, only its class decides."""
    known = np.zeros((SIDE, SIDE), dtype=bool)
    known[0] = True
    source = given(TRUTH[:1], TRUTH[:1], known)
    plan = tasks.plan(MODEL.config, "inpaint", mask=True, count=6, rounds=1, label=3)
    restored = run.restore(MODEL, plan, run.observe(plan, source, MODEL.config.diffusion))
    nearest = [np.square(GREY.astype(float) - image).sum(axis=(1, 2, 3)).argmin() for image in restored.images[0]]
    assert {int(LABELS[index]) for index in nearest} == {3}


def test_a_restoration_depends_on_seed_name_and_turn_alone() -> None:
    def restored(source: inputs.Inputs, batch: int, **options: Any) -> np.ndarray:
        plan = tasks.plan(MODEL.config, "inpaint", mask=True, rounds=1, steps=5, **options)
        return run.restore(MODEL, plan, run.observe(plan, source, MODEL.config.diffusion), batch=batch).images

    source = given(TRUTH, TRUTH, MASK)
    together = restored(source, 64, count=3).astype(int)
    assert np.abs(together - restored(source, 2, count=3)).max() <= 1
    alone = inputs.Inputs(source.names[2:3], TRUTH[2:3], MASK, None)
    assert np.abs(together[2:3, :2] - restored(alone, 64, count=2)).max() <= 1
    assert (together != restored(source, 64, count=3, seed=1)).any()
    assert (together[:, 0] != together[:, 1]).any()


def test_what_is_known_stays_as_it_was() -> None:
    plan = tasks.plan(MODEL.config, "inpaint", mask=True, rounds=1)
    restored = run.restore(MODEL, plan, run.observe(plan, given(TRUTH, TRUTH, MASK), MODEL.config.diffusion))
    np.testing.assert_array_equal(restored.images[:, 0][:, MASK], TRUTH[:, MASK])
    np.testing.assert_array_equal(restored.baseline[:, MASK], TRUTH[:, MASK])
    assert restored.spread is None


def test_files_hold_what_was_restored(tmp_path: Path) -> None:
    plan = tasks.plan(MODEL.config, "inpaint", mask=True, rounds=1, steps=5, count=3)
    source = given(TRUTH, TRUTH, MASK)
    restored = run.restore(MODEL, plan, run.observe(plan, source, MODEL.config.diffusion))
    outputs.write(tmp_path / "out", plan, source, restored, outputs.conditions(plan, "a model", MODEL.sha256))
    own = tmp_path / "out" / "4"
    for turn in range(3):
        with Image.open(own / f"restored-{turn}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), restored.images[4, turn, :, :, 0])
    spread = np.load(own / "spread.npy")
    assert spread.shape == (SIDE, SIDE, 1)
    np.testing.assert_allclose(spread, restored.images[4].astype(float).std(axis=0, ddof=1), rtol=1e-5)
    assert (spread[MASK] == 0).all()
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written["conditions"]["weights_sha256"] == MODEL.sha256
    assert written["conditions"]["task"] == "inpaint"
    assert set(written["scores"]) == {"restored", "mean of restorations", "fill"}
    expected = psnr_ssim.psnr(restored.mean, TRUTH)
    np.testing.assert_allclose(written["scores"]["mean of restorations"]["psnr of each input"], expected, atol=1e-4)
    with Image.open(tmp_path / "out" / "strip.png") as image:
        assert image.width > 8 * 80
        assert image.height > 6 * 80


def test_pictures_of_uncertainty_share_one_scale() -> None:
    from ddpm.report import uncertainty

    spread = np.zeros((2, 4, 4, 1), dtype=np.float32)
    spread[0, 0, 0], spread[1, 0, 0] = 61.0, 30.5
    assert uncertainty.top(spread) == 70
    darkest, brighter = (uncertainty.heat(each, 70)[0, 0].sum() for each in spread[::-1])
    assert brighter > darkest > uncertainty.heat(spread[0], 70)[1, 1].sum()


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


def test_noise_that_is_not_there_is_said_for_the_picture() -> None:
    plan = tasks.plan(MODEL.config, "denoise", noise="auto")
    flat = np.zeros_like(TRUTH[:2])
    flat[0] = noisy(TRUTH[:1], 0.3)
    with pytest.raises(ValueError, match=r"^1: noise = 0: must be above 0"):
        run.observe(plan, given(flat, TRUTH[:2]), MODEL.config.diffusion)


def test_fidelity_of_known_errors() -> None:
    truth = np.full((2, 16, 16, 1), 100, dtype=np.uint8)
    images = truth.copy()
    images[1] += 10
    measured = psnr_ssim.psnr(images, truth)
    assert measured.tolist() == pytest.approx([10 * np.log10(12 * 255**2), 20 * np.log10(25.5)])
    similar = psnr_ssim.ssim(GREY[:2], np.stack([GREY[0], GREY[3]]))
    assert similar is not None
    assert similar[0] == pytest.approx(1)
    assert similar[1] < 0.5
    assert psnr_ssim.ssim(GREY[:1, :8, :8], GREY[:1, :8, :8]) is None


def test_a_broken_model_restores_nothing() -> None:
    torch.manual_seed(0)
    denoiser = build.denoiser(tiny.typed())
    with torch.no_grad():
        denoiser.net.conv_out.bias.fill_(np.nan)
    broken = checkpoint.Model(denoiser.eval(), tiny.typed(), "f00d" * 16)
    plan = tasks.plan(broken.config, "super-resolution", scale=2, steps=3)
    small = run.observe(plan, given(pooled(GREY[:1, :8, :8], 2), GREY[:1, :8, :8]), broken.config.diffusion)
    with pytest.raises(NotFiniteError, match=r"super-resolution by the model with the weights f00df00df00d.* sigma = "):
        run.restore(broken, plan, small)
