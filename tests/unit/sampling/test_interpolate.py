"""Interpolation: its ends are the pictures, images in between are the model's; animations have the right frames."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from ddpm.cli import app
from ddpm.diffusion import interpolation, schedule
from ddpm.imaging import animation
from ddpm.sampling import generate, interpolate
from tests.support import ideal

SPREAD, MEAN = 0.4, 0.2
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
MODEL = ideal.model(IMAGES)


def exact(y: Tensor, sigma: float) -> Tensor:
    """E[x0 | y] for pixels N(MEAN, SPREAD^2)."""
    return (SPREAD**2 * y + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def levels(steps: int) -> Tensor:
    table = schedule.sigmas(schedule.betas("cosine", 1000))
    return schedule.sampling_sigmas("log-snr", table, steps)


def test_encoding_follows_the_flow_of_a_gaussian_and_decoding_comes_back() -> None:
    sigmas = levels(100)
    x = torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 4, 4)
    low, high = sigmas[-2].item(), sigmas[0].item()
    noise = interpolation.encoded(exact, x, sigmas)
    expected = MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + high**2) / (SPREAD**2 + low**2))
    torch.testing.assert_close(noise, expected, rtol=0.01, atol=0.01 * high)
    torch.testing.assert_close(interpolation.decoded(exact, noise, sigmas), x, rtol=0, atol=2e-3)


def test_the_sphere_keeps_the_norm_and_the_ends() -> None:
    start, end = torch.randn(2, 1, 50, 50, generator=torch.Generator().manual_seed(0))
    way = interpolation.spherical(start, end, torch.tensor([0.0, 0.25, 0.5, 1.0]))
    torch.testing.assert_close(way[0], start)
    torch.testing.assert_close(way[3], end)
    norms = way.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, norms[:1].expand(4), rtol=0.05, atol=0)
    middle = torch.nn.functional.cosine_similarity(way[2].flatten(), start.flatten(), 0)
    whole = torch.nn.functional.cosine_similarity(end.flatten(), start.flatten(), 0)
    assert middle.acos().item() == pytest.approx(whole.acos().item() / 2, rel=0.05)
    torch.testing.assert_close(interpolation.spherical(start, 2 * start, torch.tensor([0.5]))[0], 1.5 * start)


def test_the_ends_of_the_way_are_the_pictures() -> None:
    images = interpolate.between(MODEL, IMAGES[3], IMAGES[7], 5, steps=100)
    assert images.shape == (5, 8, 8, 1)
    assert np.abs(images[0].astype(int) - IMAGES[3]).max() <= 2
    assert np.abs(images[-1].astype(int) - IMAGES[7]).max() <= 2


def test_a_seed_is_the_image_that_sampling_draws_from_it() -> None:
    images = interpolate.between(MODEL, 5, 9, 3, steps=40)
    sampling = generate.Sampling(sampler="heun", steps=40, clamp=False)
    for place, seed in ((0, 5), (2, 9)):
        drawn = generate.generate(MODEL, 1, sampling, seed=seed)[0]
        assert np.abs(images[place].astype(int) - drawn).max() <= 1


@pytest.mark.parametrize("ending", [".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_has_every_frame_begins_again_and_holds_the_last(ending: str, channels: int) -> None:
    moments = np.random.default_rng(0).integers(0, 256, (5, 7, 8, 8, channels), dtype=np.uint8)
    with Image.open(io.BytesIO(animation.animate(moments, ending))) as opened:
        assert opened.n_frames == 7
        assert opened.info["loop"] == 0
        assert opened.size == (3 * 80 + 2 * animation.GAP, 2 * 80 + animation.GAP)
        durations = []
        for frame in range(7):
            opened.seek(frame)
            opened.load()
            durations.append(opened.info["duration"])
            if channels == 1 or ending == ".webp":  # a GIF has 256 colours only
                pixel = np.asarray(opened.convert("RGB"))[5, 5]
                assert np.abs(pixel.astype(int) - moments[0, frame, 0, 0]).max() <= 1
    assert durations == [animation.MILLISECONDS] * 6 + [animation.HOLD]


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return done.exit_code, done.output


def test_commands_write_what_was_asked(tmp_path: Path, tiny_checkpoint: Path) -> None:
    picture = tmp_path / "a.png"
    Image.fromarray(IMAGES[0, :, :, 0]).save(picture)
    between = ("sample", "--model", tiny_checkpoint, "--from", picture, "--to", "7", "--count", 4, "--steps", 5)
    for ending in (".png", ".npy", ".gif"):
        code, words = run(*between, "--out", tmp_path / f"way{ending}")
        assert code == 0, words
    assert np.load(tmp_path / "way.npy").shape == (4, 8, 8, 1)
    with Image.open(tmp_path / "way.gif") as opened:
        assert opened.n_frames == 4
    still = ("sample", "--model", tiny_checkpoint, "--count", 4, "--steps", 6)
    code, words = run(*still, "--out", tmp_path / "animation.webp", "--frames", 5)
    assert code == 0, words
    with Image.open(tmp_path / "animation.webp") as opened:
        assert opened.n_frames == 5
    code, words = run(*still, "--out", tmp_path / "animation.gif")
    assert code == 0, words
    with Image.open(tmp_path / "animation.gif") as opened:
        assert opened.n_frames == 7


@pytest.mark.parametrize(("arguments", "words"), [
    (["sample", "--frames", "3", "--out", "a.png"], "--frames needs an animation"),
    (["sample", "--frames", "30", "--out", "a.gif", "--steps", "5", "--count", "4"], "5 steps have 6 frames"),
    (["sample", "--out", "a.gif", "--count", "101"], "an animation has at most 100 images"),
    (["sample", "--from", "nothing.png", "--to", "1"], "neither a picture nor a seed"),
    (["sample", "--from", "2", "--to", "1", "--count", "1"], "count = 1: must be 2 or more"),
    (["sample", "--from", "2", "--to", "1", "--steps", "51"], "this model has T = 50"),
    (["sample", "--from", "2", "--to", "1", "--label", "grey"], "dark, light"),
    (["sample", "--from", "2", "--to", "1", "--out", "a.jpg"], "must end with one of .png"),
    (["sample", "--from", "2"], "--to is missing"),
    (["sample", "--from", "2", "--to", "1", "--guidance-rescale", "0.5"], "--guidance-rescale does not apply"),
])  # fmt: skip
def test_commands_refuse_in_words_before_weights_are_read(
    tmp_path: Path, tiny_checkpoint: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes())
    code, said = run(*arguments, "--model", "model")
    assert code == 1
    assert words in said.replace("\n", " ")
