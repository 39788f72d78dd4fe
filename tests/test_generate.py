"""Drawing images: image i from seed i, refusals in words, checkpoints whole or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddpm import checkpoint, files, generate
from ddpm.diffusion import pixels
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Model:
    return checkpoint.load(tiny.random_checkpoint(tmp_path_factory.mktemp("model") / "model"))


@pytest.mark.parametrize("options", [
    {"sampler": "ddpm", "variance": "large", "steps": 50}, {"sampler": "ddim", "eta": 0.5, "steps": 7},
    {"sampler": "dpm-solver++", "steps": 5}, {"sampler": "dpm-solver++", "steps": 5, "guidance": 2.0},
])  # fmt: skip
def test_image_i_is_the_same_in_any_batch(model: checkpoint.Model, options: dict[str, Any]) -> None:
    together = generate.generate(model, 7, seed=11, batch=7, **options)
    for batch in (1, 3):
        apart = generate.generate(model, 7, seed=11, batch=batch, **options)
        assert np.abs(together.astype(int) - apart).max() <= 1  # a rounding at most
    later = generate.generate(model, 2, seed=15, labels=[0, 1], **options)
    assert np.abs(together[4:6].astype(int) - later).max() <= 1
    assert len({image.tobytes() for image in together}) == 7


def test_shape_type_and_progress(model: checkpoint.Model) -> None:
    steps: list[int] = []
    images = generate.generate(model, 5, steps=2, batch=2, advance=steps.append)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    assert steps == [2, 2, 1]


def test_guidance_one_and_zero_are_the_two_models_it_mixes(model: checkpoint.Model) -> None:
    options = {"steps": 4, "labels": [1, 1, 1], "seed": 2, "clamp": False}
    none = generate.generate(model, 3, guidance=0.0, **options)
    one = generate.generate(model, 3, guidance=1.0, **options)
    near_one = generate.generate(model, 3, guidance=1.0 + 1e-6, **options)
    assert np.abs(one.astype(int) - near_one).max() <= 1
    assert np.abs(one.astype(int) - none).max() > 1


def test_a_strip_goes_from_noise_to_the_image(model: checkpoint.Model) -> None:
    strip = generate.strip(model, 3, 4, seed=5, steps=6)
    assert strip.shape == (3, 4, 8, 8, 1)
    finished = generate.generate(model, 3, seed=5, steps=6, spacing="uniform", batch=3)
    np.testing.assert_array_equal(strip[:, -1], finished)


@pytest.mark.parametrize(("wrong", "words"), [
    ({"sampler": "dmp"}, r"sampler = 'dmp' is unknown; possible: ddpm, ddim, dpm-solver\+\+"),
    ({"spacing": "even"}, "spacing = 'even' is unknown; possible: uniform"),
    ({"steps": 51}, "steps = 51: this model has T = 50"), ({"steps": 0}, "steps = 0"),
    ({"eta": 0.5}, "eta = 0.5: 0 to 1 with sampler ddim"), ({"labels": [0]}, "1 labels for 4 images"),
    ({"labels": [0, 1, 2, 0]}, r"label 2 does not exist; this model has 0 \(dark\), 1 \(light\)"),
    ({"guidance": -1.0}, "guidance = -1.0"), ({"batch": 0}, "batch = 0"),
])  # fmt: skip
def test_what_a_model_cannot_do_is_refused_in_words(model: checkpoint.Model, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generate.generate(model, 4, **wrong)


def test_an_unlabelled_model_takes_neither_label_nor_guidance(tmp_path: Path) -> None:
    model = checkpoint.load(tiny.random_checkpoint(tmp_path / "model", tiny.unlabelled()))
    assert generate.generate(model, 2, steps=2).shape == (2, 8, 8, 1)
    for wrong in ({"labels": [0, 0]}, {"guidance": 2.0}):
        with pytest.raises(ValueError, match="trained without labels"):
            generate.generate(model, 2, **wrong)


def test_pixels_round_to_the_nearest_level_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    np.testing.assert_array_equal(pixels.to_uint8(pixels.to_tensor(levels)), levels.numpy())
    between = torch.tensor([-1.4, -1.0, 0.6 / 127.5 - 1, 1.2]).view(4, 1, 1, 1)
    assert pixels.to_uint8(between).ravel().tolist() == [0, 0, 1, 255]


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
    with pytest.raises(FileNotFoundError, match="is no checkpoint"):
        checkpoint.load(tmp_path)
    folder = tiny.random_checkpoint(tmp_path / "model")
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        checkpoint.load(folder)
    weights.write_bytes(whole)
    config = files.read_json(folder / "config.json")
    files.write_json(folder / "config.json", {**config, "net": {**config["net"], "channels": 16}})
    with pytest.raises(ValueError, match=r"does not fit config.json"):
        checkpoint.load(folder)
    files.write_json(folder / "config.json", {**config, "version": 99})
    with pytest.raises(ValueError, match="version 99"):
        checkpoint.load(folder)
