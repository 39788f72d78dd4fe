"""`ddpm likelihood`, as a person types it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from ddpm.cli import app
from ddpm.diffusion import guidance, likelihood, pixels
from ddpm.model import checkpoint
from ddpm.runtime import randomness
from ddpm.sampling.likelihood import by_bound, by_flow
from tests.support import tiny

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
LEARNED = {**tiny.CONFIG, "diffusion": {**tiny.CONFIG["diffusion"], "variance": "learned"}}


def ddpm(model: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["likelihood", "--model", str(model), *arguments])


@pytest.fixture
def images(project: Path) -> None:
    """The same images as an array and as files, and others that do not fit."""
    np.save("images.npy", PIXELS)
    np.save("large.npy", np.zeros((6, 9, 9, 1), np.uint8))
    np.save("floats.npy", np.zeros((6, 8, 8, 1)))
    for folder in ("folder", "mixed", "empty"):
        Path(folder).mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(image[:, :, 0]).save(f"folder/{i}.png")
    Image.fromarray(PIXELS[0, :, :, 0]).save("mixed/a.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save("mixed/b.png")


@pytest.mark.usefixtures("images")
def test_files_and_arrays_give_the_same_number_with_its_conditions(tiny_checkpoint: Path) -> None:
    said = [
        json.loads(ddpm(tiny_checkpoint, "--images", source, "--tolerance", "1e-2", "--json").output)
        for source in ("images.npy", "folder")
    ]
    assert said[0]["bits_per_dim"] == said[1]["bits_per_dim"]
    assert said[0]["standard_error"] > 0
    assert said[0]["evaluations"] > 10
    conditions = said[0]["conditions"]
    assert (conditions["images"], conditions["labels"], conditions["probes"]) == ("images.npy", "hidden", 1)
    assert conditions["weights_sha256"] == checkpoint.load(tiny_checkpoint).sha256
    spoken = ddpm(tiny_checkpoint, "--images", "folder", "--tolerance", "1e-2").output
    assert f"{said[0]['bits_per_dim']:.4f} +- " in spoken
    assert "bits/dim by the probability flow, 6 images" in spoken


@pytest.mark.usefixtures("images")
def test_the_bound_has_an_evaluation_for_every_level_and_its_parts(tiny_checkpoint: Path) -> None:
    asked = ("--images", "images.npy", "--count", "6", "--bound", "--json", "--label", "light")
    said = json.loads(ddpm(tiny_checkpoint, *asked).output)
    assert said["evaluations"] == 50
    assert said["conditions"]["variance"] == "small"
    assert said["conditions"]["labels"] == "light"
    assert said["bits_per_dim"] == pytest.approx(said["prior"] + said["steps"] + said["decoder"])
    large = json.loads(ddpm(tiny_checkpoint, *asked, "--variance", "large").output)
    assert large["bits_per_dim"] != said["bits_per_dim"]


@pytest.mark.usefixtures("images")
def test_a_learned_variance_is_used_where_there_is_one(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", LEARNED)
    asked = ("--images", "images.npy", "--count", "6", "--bound", "--json")
    assert json.loads(ddpm(folder, *asked).output)["conditions"]["variance"] == "learned"


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("asked", "said"), [
    (["--images", "images.npy", "--count", "7"], "--count 7: images.npy has only 6 images"),
    (["--images", "large.npy"], "large.npy has images of shape (9, 9, 1); this model needs (8, 8, 1)"),
    (["--images", "floats.npy"], "floats.npy holds float64"), (["--images", "empty"], "empty has no images in it"),
    (["--images", "mixed"], "b.png cannot be used: it has 8 x 9 pixels, but 8 x 8 are needed"),
    (["--images", "x"], "x does not exist"),
    (["--images", "folder", "--label", "green"], "label green does not exist; this model has dark, light"),
    (["--images", "folder", "--bound", "--variance", "learned"], "possible for this model: small, large"),
    (["--images", "heldout"], "has no prepared images"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_words(tiny_checkpoint: Path, asked: list[str], said: str) -> None:
    result = ddpm(tiny_checkpoint, *asked)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.usefixtures("images")
def test_a_model_that_always_needs_a_class_is_given_one(tmp_path: Path) -> None:
    config = {**tiny.CONFIG, "image": {**tiny.CONFIG["image"], "label_dropout": 0.0}}
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    assert "this model needs a class" in ddpm(folder, "--images", "folder", "--count", "2").stderr
    assert ddpm(folder, "--images", "folder", "--count", "2", "--label", "dark").exit_code == 0


def test_an_image_has_its_number_in_any_batch(tiny_checkpoint: Path) -> None:
    model = checkpoint.load(tiny_checkpoint)
    labels = np.array([0, 1, 0, 1, 2, 2])  # 2: none
    bounds = [by_bound(model, PIXELS, labels, variance="small", seed=3, batch=batch)["total"] for batch in (6, 4)]
    np.testing.assert_allclose(bounds[0], bounds[1], rtol=1e-4)
    flows = [by_flow(model, PIXELS, labels, seed=3, batch=batch, tolerance=1e-4) for batch in (6, 4)]
    np.testing.assert_allclose(flows[0], flows[1], atol=5e-3)
    later = by_bound(model, PIXELS[2:], labels[2:], variance="small", seed=5)["total"]
    np.testing.assert_allclose(bounds[0][2:], later, rtol=1e-4)


def test_more_probes_come_near_the_exact_trace(tiny_checkpoint: Path) -> None:
    model = checkpoint.load(tiny_checkpoint)
    labels = np.array([0, 1])
    measured = [by_flow(model, PIXELS[:2], labels, probes=probes, tolerance=1e-2) for probes in (1, 20)]
    sigmas, generators = model.denoiser.sigmas, [randomness.generator(i, "likelihood") for i in range(2)]
    x = pixels.to_tensor(torch.from_numpy(PIXELS[:2]))
    y = likelihood.dequantised(x, torch.stack([torch.rand(1, 8, 8, generator=each) for each in generators]))
    denoise = guidance.with_labels(model.denoiser, torch.from_numpy(labels))
    true = likelihood.flow_bits(
        denoise, y, sigmas[0].item(), sigmas[-1].item(), model.denoiser.process.prior,
        likelihood.directions((1, 8, 8)), 1e-2,
    ).numpy()  # fmt: skip
    apart = [np.abs(each - true).max() for each in measured]
    assert 1e-3 < apart[1] < 0.03
    assert apart[1] < apart[0]


def test_the_flow_is_the_change_of_volume_of_the_network_itself(tiny_checkpoint: Path) -> None:
    """The trace of the real network, direction by direction, is what one probe estimates without bias."""
    model = checkpoint.load(tiny_checkpoint)
    denoise = guidance.with_labels(model.denoiser, torch.tensor([0, 1]))
    y = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    _, whole = likelihood._with_trace(denoise, y.clone(), 0.7, likelihood.directions((1, 8, 8)))
    jacobian = torch.autograd.functional.jacobian(lambda x: denoise(x, 0.7), y)
    true = torch.stack([jacobian[i, :, :, :, i].reshape(64, 64).trace() for i in range(2)])
    torch.testing.assert_close(whole, true, rtol=1e-4, atol=1e-4)
    signs = likelihood.signs((400, 2, 1, 8, 8), torch.Generator().manual_seed(1))
    _, estimated = likelihood._with_trace(denoise, y.clone(), 0.7, signs)
    torch.testing.assert_close(estimated, true, rtol=0.05, atol=0.3)
