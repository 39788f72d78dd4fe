"""Export to diffusers, compared with diffusers itself: opening, weights, images, refusals by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from typer.testing import CliRunner

from ddpm import exchange, registry
from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params
from ddpm.exchange.weights import theirs
from ddpm.model import build, checkpoint
from ddpm.model.config import VERSION
from tests.support import tiny
from tests.support.sharing import CONFIG, STEPS, ancestral, changed, our_image, their_image


@pytest.mark.parametrize(
    "config",
    [
        changed(),
        changed(net={"resample": "residual", "layout": "ddpm"}, diffusion={"schedule": "linear", "prediction": "eps"}),
        changed(net={"scale_shift": False, "middle_attention": False, "attention": []}, diffusion={"prediction": "x0"}),
        changed(net={"multipliers": [1, 1, 2], "attention": [4, 8]}, diffusion={"schedule": "quadratic"}),
        changed(net={"multipliers": [1], "attention": [8]}, diffusion={"schedule": "sigmoid"}),
        changed(diffusion={"variance": "learned"}),
        changed(diffusion={"variance": "learned", "schedule": "linear", "prediction": "eps"}),
        changed(net={"patch": 2}),
        changed(net={"patch": 4, "multipliers": [1], "attention": [2], "resample": "residual", "layout": "ddpm"}),
        changed(net={"patch": 2, "attention": [2]}, diffusion={"variance": "learned"}),
    ],
)  # fmt: skip
def test_diffusers_draws_the_same_images(config: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    exchange.export(folder, tmp_path / "out")
    expected = our_image(folder, 3)
    assert 0.02 < expected.std() < 0.49  # neither flat nor all at the bounds
    torch.testing.assert_close(their_image(tmp_path / "out", 3), expected, rtol=0, atol=1e-4)


def test_a_learned_variance_is_carried(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", changed(diffusion={"variance": "learned"}))
    exchange.export(folder, tmp_path / "out")
    model, at = checkpoint.load(folder), 12
    x, time = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((2,), float(at))
    unet = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet").eval()
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler")
    with torch.no_grad():
        output = unet(x, at).sample
        torch.testing.assert_close(output, model.denoiser.net(x, time), rtol=1e-4, atol=1e-4)
        expected = scheduler.step(output, at, x, generator=torch.Generator().manual_seed(1)).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        sigma, lower = model.denoiser.sigmas[[at, at - 1]]
        y = ancestral(model, (1 + sigma**2).sqrt().float() * x, torch.stack([sigma, lower]), lambda i: noise)
    torch.testing.assert_close(y / (1 + lower**2).sqrt().float(), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_thousand_steps_differ_by_the_precision_of_their_table(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", changed(diffusion={"steps": 1000}))
    exchange.export(folder, tmp_path / "out")
    expected = our_image(folder, 3)
    torch.testing.assert_close(their_image(tmp_path / "out", 3), expected, rtol=0, atol=3e-4)
    torch.testing.assert_close(their_image(tmp_path / "out", 3, double=True), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("label", "index"), [("dark", 0), ("light", 1), ("none", 2)])
def test_a_class_is_folded_into_a_model_without_labels(label: str, index: int, tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    exchange.export(folder, tmp_path / "out", label)
    torch.testing.assert_close(their_image(tmp_path / "out", 3), our_image(folder, 3, index), rtol=0, atol=1e-4)
    assert (our_image(folder, 3, index) - our_image(folder, 3, (index + 1) % 3)).abs().max() > 0.01


def test_a_class_conditional_model_keeps_its_labels(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    exchange.export(folder, tmp_path / "out")
    unet = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet").eval()
    x, time, labels = torch.randn(3, 1, 8, 8), torch.tensor([0.0, 10.0, 19.0]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = checkpoint.load(folder).denoiser.net(x, time, labels)
        torch.testing.assert_close(unet(x, time, labels).sample, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"net": {"multipliers": [2, 4]}}, r"net.multipliers = [2, 4] (supported: lists that begin with 1)"),
        ({"diffusion": {"prediction": "edm"}}, "diffusion.prediction = edm (supported: eps, x0, v)"),
        ({"diffusion": {"process": "vp-sde"}}, "diffusion.process = vp-sde (supported: ddpm)"),
        ({"diffusion": {"condition": "low-resolution-2"}}, "diffusion.condition = low-resolution-2"),
        ({"net": {"kind": "dit"}, "diffusion": {"prediction": "score"}}, "net.kind = dit (supported: unet); diff"),
    ],
)
def test_what_diffusers_has_no_place_for_is_refused_by_name(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    files.write_json(tmp_path / "model/config.json", {"version": VERSION, **changed(**changes)})
    with pytest.raises(ValueError, match="diffusers does not support this model") as refused:
        exchange.export(tmp_path / "model", tmp_path / "out")
    assert told in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "label", "told"),
    [
        (tiny.unlabelled(), "dark", "without labels"),
        (tiny.CONFIG, "grey", "label grey does not exist; this model has dark, light, and none"),
        (
            {**tiny.CONFIG, "image": tiny.CONFIG["image"] | {"label_dropout": 0.0}},
            "none",
            "was not trained without labels",
        ),
    ],
)
def test_a_label_that_cannot_be_folded(config: dict[str, Any], label: str, told: str, tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    with pytest.raises(ValueError, match=told):
        exchange.export(folder, tmp_path / "out", label)


def test_the_commands_say_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "download", Path)  # a folder is downloaded from where it is
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    run = CliRunner()
    done = run.invoke(app, ["export", "--to", "diffusers", "--model", str(folder), str(tmp_path / "theirs")])
    assert done.exit_code == 0, done.output
    assert "from_pretrained" in done.output
    assert "0 to 1 (dark, light) or 2 (none)" in done.output
    again = run.invoke(app, ["export", "--model", str(folder), str(tmp_path / "theirs")])
    assert again.exit_code == 1
    done = run.invoke(
        app, ["import", str(tmp_path / "theirs"), "--out", str(tmp_path / "back"), "--classes", "dark, light"]
    )
    assert done.exit_code == 0, done.output
    assert checkpoint.load(tmp_path / "back").classes == ("dark", "light")


def test_every_weight_has_a_name_of_its_own_there() -> None:
    weights = build.network(tiny.typed(changed(net={"resample": "residual"}))).state_dict()
    assert sum(value.numel() for value in theirs(weights).values()) == sum(value.numel() for value in weights.values())


@pytest.mark.parametrize("label", [None, "light"])
def test_the_default_model_is_opened_with_its_labels_or_narrowed(label: str | None, tmp_path: Path) -> None:
    """The network of params.yaml, whose patches of pixels diffusers itself has no place for."""
    settings = params.parse(params.read_yaml(Path(__file__).parents[3] / "params.yaml"))
    config = {
        "image": {"resolution": settings.prepare.resolution, "channels": 1, "classes": ["dark", "light"],
                  "label_dropout": 0.1},
        "net": settings.net.model_dump(mode="json"),
        "diffusion": tiny.CONFIG["diffusion"] | settings.diffusion.model_dump(mode="json") | {"steps": STEPS},
        "digest": "0" * 64,
    }  # fmt: skip
    assert config["net"]["patch"] > 1
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    done = CliRunner().invoke(
        app, ["export", "--model", str(folder), *(["--label", label] if label else []), str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "trust_remote_code=True" in done.output
    if label:
        expected = our_image(folder, 3, 1)
        assert 0.02 < expected.std() < 0.49
        torch.testing.assert_close(their_image(tmp_path / "out", 3), expected, rtol=0, atol=1e-4)
        return
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out", trust_remote_code=True)
    pipeline.save_pretrained(tmp_path / "again")
    x, time, labels = torch.randn(3, 1, 28, 28), torch.tensor([0.0, 10.0, 19.0]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = checkpoint.load(folder).denoiser.net(x, time, labels)
        torch.testing.assert_close(pipeline.unet(x, time, labels).sample, expected, rtol=1e-4, atol=1e-4)


def test_a_folder_that_brings_a_module_is_not_opened_without_trust(tmp_path: Path) -> None:
    exchange.export(tiny.random_checkpoint(tmp_path / "model", changed(net={"patch": 2})), tmp_path / "out")
    with pytest.raises(ValueError, match="trust_remote_code"):
        DDPMPipeline.from_pretrained(tmp_path / "out")
