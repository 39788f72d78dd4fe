"""Drawing images: image i from seed i, refused requests, damaged checkpoints."""

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from ddpm.common import files
from ddpm.diffusion import pixels
from ddpm.model import build, checkpoint
from ddpm.sampling import generate, interpolate, likelihood
from ddpm.sampling import options as sampling
from ddpm.sampling.generate import Sampling
from tests.support import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Model:
    return checkpoint.load(tiny.random_checkpoint(tmp_path_factory.mktemp("model") / "model"))


@pytest.mark.parametrize("sampling", [
    Sampling(sampler="ddpm", variance="large", steps=50), Sampling(sampler="ddim", eta=0.5, steps=7),
    Sampling(sampler="dpm-solver++", steps=5), Sampling(sampler="dpm-solver++", steps=5, guidance=2.0),
])  # fmt: skip
def test_image_i_is_the_same_in_any_batch(model: checkpoint.Model, sampling: Sampling) -> None:
    together = generate.generate(model, 7, sampling, seed=11, batch=7)
    for batch in (1, 3):
        apart = generate.generate(model, 7, sampling, seed=11, batch=batch)
        assert np.abs(together.astype(int) - apart).max() <= 1  # a rounding at most
    later = generate.generate(model, 2, sampling, seed=15, labels=[0, 1])
    assert np.abs(together[4:6].astype(int) - later).max() <= 1
    assert len({image.tobytes() for image in together}) == 7


def test_shape_type_and_progress(model: checkpoint.Model) -> None:
    steps: list[int] = []
    images = generate.generate(model, 5, Sampling(steps=2), batch=2, advance=steps.append)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    assert steps == [2, 2, 1]


def test_guidance_one_and_zero_are_the_two_models_it_mixes(model: checkpoint.Model) -> None:
    def at(guidance: float) -> np.ndarray:
        sampling = Sampling(steps=4, clamp=False, guidance=guidance)
        return generate.generate(model, 3, sampling, labels=[1, 1, 1], seed=2).astype(int)

    assert np.abs(at(1.0) - at(1.0 + 1e-6)).max() <= 1
    assert np.abs(at(1.0) - at(0.0)).max() > 1


def test_an_image_of_no_class_is_what_guidance_zero_draws(model: checkpoint.Model) -> None:
    none = generate.generate(model, 3, Sampling(steps=4), labels=[generate.NO_LABEL] * 3, seed=2)
    np.testing.assert_array_equal(none, generate.generate(model, 3, Sampling(steps=4, guidance=0.0), seed=2))
    by_class = tiny.typed({**tiny.enlarging(), "image": tiny.CONFIG["image"] | {"label_dropout": 0.0}})
    for labels in (None, [0, generate.NO_LABEL]):
        with pytest.raises(ValueError, match=r"needs a class for each .* label of 0 \(dark\), 1 \(light\)"):
            generate.check(by_class, Sampling(), 2, labels, low_res=(2, 4, 4, 1))
    generate.check(by_class, Sampling(), 2, [0, 1], low_res=(2, 4, 4, 1))


def test_guidance_outside_its_interval_is_the_model_itself(model: checkpoint.Model) -> None:
    levels = model.denoiser.sigmas
    options = {"steps": 4, "guidance": 3.0}

    def with_interval(low: float, high: float) -> np.ndarray:
        return generate.generate(model, 3, Sampling(**options, guidance_interval=(low, high)), seed=2)

    plain = generate.generate(model, 3, Sampling(steps=4), seed=2)
    np.testing.assert_array_equal(with_interval(2 * levels[-1].item(), 3 * levels[-1].item()), plain)
    np.testing.assert_array_equal(with_interval(0.0, 1e9), generate.generate(model, 3, Sampling(**options), seed=2))
    with generate.evaluations(model) as seen:
        assert (with_interval(0.0, 0.1) != plain).any()
    assert 3 * 4 < sum(seen) < 2 * 3 * 4


def test_a_guide_is_pushed_away_from(model: checkpoint.Model, tmp_path: Path) -> None:
    weak = checkpoint.load(tiny.random_checkpoint(tmp_path / "weak"), weights="raw")

    def guided(scale: float, **options: Any) -> np.ndarray:
        return generate.generate(model, 3, Sampling(steps=4, guidance=scale, **options), seed=2, guide=weak).astype(int)

    np.testing.assert_array_equal(guided(0.0), generate.generate(weak, 3, Sampling(steps=4), seed=2))
    assert np.abs(guided(1.0 + 1e-6) - generate.generate(model, 3, Sampling(steps=4), seed=2)).max() <= 1
    assert (guided(2.0) != guided(2.0, guidance_rescale=0.7)).any()
    with generate.evaluations(model, weak) as seen:
        guided(2.0)
    assert sum(seen) == 2 * 3 * 4


@pytest.mark.parametrize(("section", "change", "words"), [
    ("image", {"resolution": 16}, r"image.resolution is 16, and this model's 8"),
    ("image", {"classes": ["light", "dark"]}, "image.classes is"),
    ("diffusion", {"schedule": "linear"}, "diffusion.schedule is 'linear', and this model's 'cosine'"),
    ("diffusion", {"steps": 60}, "diffusion.steps is 60"),
])  # fmt: skip
def test_a_guide_of_other_images_or_levels_is_refused(section: str, change: dict[str, Any], words: str) -> None:
    guide = tiny.typed({**tiny.CONFIG, section: {**tiny.CONFIG[section], **change}})
    with pytest.raises(ValueError, match=words):
        generate.check(tiny.typed(), Sampling(guidance=2.0), 1, guide=guide)
    with pytest.raises(ValueError, match="does not use a guide"):
        generate.check(tiny.typed(), Sampling(), 1, guide=tiny.typed())


def test_an_unlabelled_model_can_be_guided_by_a_weaker_one(tmp_path: Path) -> None:
    config = tiny.unlabelled()
    model = checkpoint.load(tiny.random_checkpoint(tmp_path / "model", config))
    images = generate.generate(model, 2, Sampling(steps=2, guidance=2.0), guide=model)
    np.testing.assert_array_equal(images, generate.generate(model, 2, Sampling(steps=2)))


def test_a_strip_goes_from_noise_to_the_image(model: checkpoint.Model) -> None:
    strip = generate.strip(model, 3, 4, Sampling(steps=6), seed=5)
    assert strip.shape == (3, 4, 8, 8, 1)
    finished = generate.generate(model, 3, Sampling(steps=6, spacing="uniform"), seed=5, batch=3)
    np.testing.assert_array_equal(strip[:, -1], finished)


@pytest.mark.parametrize(("sampling", "options", "words"), [
    (Sampling(steps=51), {}, "steps = 51: this model has T = 50"), (Sampling(), {"labels": [0]}, "1 labels for 4"),
    (Sampling(), {"labels": [0, 1, 2, 0]}, r"label 2 does not exist; this model has 0 \(dark\), 1 \(light\)"),
    (Sampling(), {"batch": 0}, "batch = 0"), (Sampling(), {"seed": -1}, "seed = -1"),
])  # fmt: skip
def test_what_a_model_cannot_do_is_refused_in_words(
    model: checkpoint.Model, sampling: Sampling, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        generate.generate(model, 4, sampling, **options)


def test_an_unlabelled_model_takes_neither_label_nor_guidance(tmp_path: Path) -> None:
    model = checkpoint.load(tiny.random_checkpoint(tmp_path / "model", tiny.unlabelled()))
    assert generate.generate(model, 2, Sampling(steps=2)).shape == (2, 8, 8, 1)
    with pytest.raises(ValueError, match="trained without labels"):
        generate.generate(model, 2, labels=[0, 0])
    with pytest.raises(ValueError, match="trained without labels"):
        generate.generate(model, 2, Sampling(guidance=2.0))


def test_pixels_round_to_the_nearest_level_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    np.testing.assert_array_equal(pixels.to_uint8(pixels.to_tensor(levels)), levels.numpy())
    between = torch.tensor([-1.4, -1.0, 0.6 / 127.5 - 1, 1.2]).view(4, 1, 1, 1)
    assert pixels.to_uint8(between).ravel().tolist() == [0, 0, 1, 255]


def broken(value: float, objective: str = "denoising") -> checkpoint.Model:
    """A model one of whose weights is NaN or infinite, as after a failed copy or an overflow."""
    torch.manual_seed(0)
    config = tiny.typed({**tiny.CONFIG, "objective": objective})
    denoiser = build.denoiser(config)
    with torch.no_grad():
        denoiser.net.conv_out.bias.fill_(value)
    return checkpoint.Model(denoiser.eval(), config, "f00d" * 16)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("sampler", get_args(sampling.Sampler))
def test_an_estimate_that_is_not_finite_is_an_error_and_no_picture(value: float, sampler: str) -> None:
    asked = Sampling(sampler=sampler, steps=3)
    where = r"evaluation 1 .* sigma = \d.* not finite in 100%"
    message = rf"weights f00df00df00d, sampled with {re.escape(sampler)}: {where}"
    with pytest.raises(pixels.NotFiniteError, match=message):
        generate.generate(broken(value, "consistency" if sampler == "consistency" else "denoising"), 2, asked)


def test_neither_strip_nor_interpolation_nor_likelihood_comes_of_a_broken_model() -> None:
    for draw in (
        lambda: generate.strip(broken(np.nan), 2, 3, Sampling(steps=3)),
        lambda: interpolate.between(broken(np.nan), 0, 1, 3, steps=3),
        lambda: likelihood.by_flow(broken(np.nan), np.zeros((1, 8, 8, 1), np.uint8), np.array([0])),
    ):
        with pytest.raises(pixels.NotFiniteError, match="evaluation 1 of this batch"):
            draw()


def test_what_is_not_finite_never_becomes_pixels() -> None:
    """Such as an image whose learned variance overflows after a finite estimate."""
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(pixels.NotFiniteError, match="holds NaN or infinity"):
            pixels.to_uint8(torch.tensor([0.0, value]).view(2, 1, 1, 1))


def test_a_checkpoint_comes_back_with_both_weights(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model")
    averaged, raw = checkpoint.load(folder), checkpoint.load(folder, weights="raw")
    assert averaged.sha256 == files.sha256_file(folder / "weights.safetensors")
    assert averaged.classes == ("dark", "light")
    for (name, one), other in zip(
        averaged.denoiser.state_dict().items(), raw.denoiser.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(other, one * 2, msg=name)


def test_a_damaged_or_foreign_checkpoint_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a checkpoint"):
        checkpoint.load(tmp_path)
    folder = tiny.random_checkpoint(tmp_path / "model")
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        checkpoint.load(folder)
    weights.write_bytes(whole)
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", {**config, "net": {**config["net"], "channels": 16}})
    with pytest.raises(ValueError, match=r"does not fit config.json"):
        checkpoint.load(folder)
    files.write_json(folder / "config.json", {**config, "version": 99})
    with pytest.raises(ValueError, match="version 99"):
        checkpoint.load(folder)
