"""Restoration with the best model there is of a small set of digits: better than what needs no model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm.diffusion.pixels import NotFiniteError
from ddpm.metrics import psnr_ssim
from ddpm.model import build, checkpoint
from ddpm.restore import inputs, outputs, run, tasks
from tests.support import ideal, tiny
from tests.support.restoring import GREY, LABELS, MASK, MODEL, SIDE, TRUTH, digits, given, noisy, pooled, scores


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
    """Clipping the noise of a black picture makes its mean that of a much brighter one."""
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
    """With the whole digit hidden, only the class determines it."""
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
