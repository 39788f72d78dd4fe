"""Every kind of network, as a config asks for it: with labels, learned variance, a condition; and what suits images."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm.cli.proposal import propose
from ddpm.config import params
from ddpm.data.survey import Survey
from ddpm.model import build
from ddpm.model.config import ModelConfig

ROOT = Path(__file__).parents[3]
KINDS: dict[str, dict[str, Any]] = {
    "unet": {"kind": "unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4],
             "middle_attention": True, "head_channels": 8, "groups": 4, "scale_shift": True, "resample": "residual",
             "dropout": 0.0, "patch": 1, "layout": "adm"},
    "dit": {"kind": "dit", "patch": 2, "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 4, "dropout": 0.0},
    "plain": {"kind": "plain", "channels": 8, "levels": 2, "blocks": 1, "skips": True, "groups": 4, "patch": 1},
}  # fmt: skip


def config(net: dict[str, Any], **diffusion: Any) -> ModelConfig:
    chain = {"process": "ddpm", "steps": 50, "schedule": "cosine", "beta_start": 1e-4, "beta_end": 0.02,
             "prediction": "v", "sigma_data": 0.5, "variance": "fixed", "condition": "none"}  # fmt: skip
    image = {"resolution": 8, "channels": 1, "classes": ["dark", "light"], "label_dropout": 0.1}
    return ModelConfig.from_json({"image": image, "net": net, "diffusion": chain | diffusion})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diffusion", [{}, {"variance": "learned"}, {"condition": "low-resolution-2"}])
def test_every_kind_learns(kind: str, diffusion: dict[str, Any]) -> None:
    """A few steps on two images, one for each label, bring the loss down; all weights take part."""
    torch.manual_seed(0)
    denoiser = build.denoiser(config(KINDS[kind], **diffusion))
    x = torch.stack([torch.full((1, 8, 8), -0.8), torch.full((1, 8, 8), 0.8)])
    labels = torch.tensor([0, 1])
    condition = x * 0.5 if "condition" in diffusion else None
    sigma = denoiser.sigmas[[10, 40]]
    noise = torch.randn(x.shape)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = denoiser.loss(x, sigma, noise, labels, "output", condition).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    still = [name for name, each in denoiser.named_parameters() if each.grad is None or not each.grad.any()]
    assert not still


def test_an_unknown_kind() -> None:
    with pytest.raises(KeyError, match="vit"):
        build.network(config({"kind": "vit"}))


@pytest.mark.parametrize("net", [KINDS["dit"] | {"patch": 8}, KINDS["plain"] | {"patch": 4}], ids=["dit", "plain"])
def test_a_proposal_for_images_that_the_network_cannot_take(net: dict[str, Any]) -> None:
    net, values = dict(net), params.read_yaml(ROOT / "params.yaml")
    values["prepare"]["resolution"] = 32
    now = params.parse(values | {"net": net})
    found = Survey(1000, (), {}, 0, {(30, 30): 1000}, {"L": 1000}, {"PNG": 1000}, colour=False)
    values["net"] = net
    for change in propose(found, now, "thirty"):
        section, name = change.key.split(".")
        values[section][name] = change.value
    assert params.parse(values).prepare.resolution == 28
