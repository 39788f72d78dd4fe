"""Networks of series: in one dimension they equal those of images of height 1."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm.model import build
from ddpm.model.config import ModelConfig
from ddpm.nets.dimensions import shuffle, unshuffle
from ddpm.nets.dit import DiT, positions
from ddpm.nets.layers import Downsample, Upsample
from ddpm.nets.plain import Plain
from ddpm.nets.unet import UNet
from ddpm.training.muon import Muon

ONE_LEVEL: dict[type[nn.Module], dict[str, Any]] = {
    UNet: {"channels": 8, "multipliers": [1], "blocks": 1, "attention": [8], "head_channels": 8, "groups": 4,
           "scale_shift": True, "resample": "conv", "dropout": 0.0, "patch": 1},
    Plain: {"channels": 8, "levels": 1, "blocks": 1, "skips": True, "groups": 4, "patch": 1},
    DiT: {"patch": 1, "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 4, "dropout": 0.0},
}  # fmt: skip

SEVERAL_LEVELS: dict[str, dict[str, Any]] = {
    "unet": ONE_LEVEL[UNet] | {"multipliers": [1, 2], "resample": "residual", "patch": 2},
    "plain": ONE_LEVEL[Plain] | {"levels": 2, "patch": 2},
    "dit": ONE_LEVEL[DiT] | {"patch": 2},
}


def in_one_row(weights: dict[str, Tensor], of: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of 1-D convolutions as the middle row of 2-D ones, whose other rows meet only the padding."""
    found = {}
    for name, weight in weights.items():
        found[name] = weight
        if weight.shape != of[name].shape:
            found[name] = torch.zeros_like(of[name])
            found[name][:, :, of[name].shape[2] // 2] = weight
    return found


@pytest.mark.parametrize("kind", ONE_LEVEL, ids=lambda kind: kind.__name__)
def test_a_series_is_an_image_of_height_one(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    line, plane = (kind(2, 2, 8, 0, **ONE_LEVEL[kind], dimensions=dimensions) for dimensions in (1, 2))
    for parameter in line.parameters():
        parameter.data.normal_(std=0.3)
    plane.load_state_dict(in_one_row(line.state_dict(), plane.state_dict()))
    if isinstance(line, DiT):
        plane.positions = line.positions
    x, time = torch.randn(3, 2, 8), torch.tensor([1.0, 5.0, 900.0])
    with torch.no_grad():
        found, expected = line(x, time), plane(x[:, :, None], time)[:, :, 0]
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected)


def test_patches_of_neighbours_become_channels_and_back() -> None:
    x = torch.arange(12.0).view(1, 2, 6)
    assert unshuffle(x, 3)[0].tolist() == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]
    torch.testing.assert_close(shuffle(unshuffle(x, 3), 3), x)


@pytest.mark.parametrize("centred", [True, False])
def test_the_length_is_halved_and_doubled(centred: bool) -> None:
    down, up, x = (
        Downsample(1, centred=centred, dimensions=1),
        Upsample(1, dimensions=1),
        torch.tensor([[[1.0, 2, 3, 4]]]),
    )
    for layer in (down, up):
        layer.conv.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])
        layer.conv.bias.data.zero_()
    embedding = torch.zeros(1, 4)
    assert down(x, embedding).tolist() == [[[210.0, 432.0]] if centred else [[321.0, 43.0]]]
    assert up(x, embedding).tolist() == [[[110.0, 211.0, 221.0, 322.0, 332.0, 433.0, 443.0, 44.0]]]


def test_positions_on_a_line_are_sines_and_cosines() -> None:
    found = positions(3, 4, 1)
    angles = torch.arange(3.0)[:, None] * torch.tensor([1.0, 0.01])
    torch.testing.assert_close(found, torch.cat([angles.sin(), angles.cos()], 1))


@pytest.mark.parametrize("kind", SEVERAL_LEVELS)
def test_every_kind_learns_series_with_muon(kind: str) -> None:
    """Muon takes the hidden convolutions of series as matrices; several levels, patches and channels; loss falls."""
    torch.manual_seed(0)
    image = {"kind": "series", "resolution": 16, "channels": 2, "classes": [], "columns": ["a", "b"],
             "mean": [0.0, 0.0], "std": [1.0, 1.0], "transform": "none"}  # fmt: skip
    chain = {"process": "ddpm", "steps": 50, "schedule": "cosine", "beta_start": 1e-4, "beta_end": 0.02,
             "prediction": "v", "sigma_data": 1.0, "variance": "fixed", "condition": "none"}  # fmt: skip
    net = {"kind": kind, **SEVERAL_LEVELS[kind]}
    denoiser = build.denoiser(ModelConfig.from_json({"image": image, "net": net, "diffusion": chain}))
    hidden = build.hidden_weights(denoiser.net)
    assert kind == "dit" or any(weight.ndim == 3 for weight in hidden)
    others = [each for each in denoiser.parameters() if not any(each is one for one in hidden)]
    optimizer = Muon(hidden, others, muon_lr=0.02, lr=3e-3, betas=(0.9, 0.99), weight_decay=0.0, fused=False)
    x = torch.stack([torch.full((2, 16), -0.8), torch.full((2, 16), 0.8)])
    sigma, noise, losses = denoiser.sigmas[[10, 40]], torch.randn(x.shape), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = denoiser.loss(x, sigma, noise, None, "output").mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
