"""The plain encoder and decoder: equal to its equations written out, and what its options promise."""

import pytest
import torch
from torch.nn import functional

from ddpm.nets.plain import Plain
from ddpm.nets.unet import UNet

SMALL = {"channels": 8, "levels": 2, "blocks": 1, "skips": True, "groups": 4, "patch": 1}


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """Random values everywhere, so that the layer which starts at zero counts too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return net.eval()


def test_equals_its_equations_written_out() -> None:
    net = filled(Plain(1, 1, 8, 3, **SMALL))
    x, time, labels = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 700.0]), torch.tensor([0, 2])
    values = net.state_dict()
    told = functional.silu(net.embedding(time, labels))

    def layer(stack: str, i: int, image: torch.Tensor) -> torch.Tensor:
        mixed = functional.conv2d(
            image, values[f"{stack}.convs.{i}.weight"], values[f"{stack}.convs.{i}.bias"], padding=1
        )
        scaled = functional.group_norm(mixed, 4, values[f"{stack}.norms.{i}.weight"], values[f"{stack}.norms.{i}.bias"])
        added = functional.linear(told, values[f"{stack}.embeds.{i}.weight"], values[f"{stack}.embeds.{i}.bias"])
        return functional.relu(scaled + added[:, :, None, None])

    high = layer("encoder.0", 0, x)
    low = high.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    low = layer("middle", 1, layer("middle", 0, low))
    joined = torch.cat([low.repeat_interleave(2, 2).repeat_interleave(2, 3), high], dim=1)
    expected = functional.conv2d(
        layer("decoder.0", 0, joined), values["conv_out.weight"], values["conv_out.bias"], padding=1
    )
    torch.testing.assert_close(net(x, time, labels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("patch", [1, 2])
def test_starts_as_zero_and_keeps_the_shape(levels: int, skips: bool, patch: int) -> None:
    net = Plain(3, 3, 16, 0, **{**SMALL, "levels": levels, "skips": skips, "patch": patch})
    x = torch.randn(2, 3, 16, 16)
    assert net(x, torch.zeros(2)).abs().max() == 0
    assert filled(net)(x, torch.zeros(2)).shape == x.shape


def test_without_skips_detail_is_lost() -> None:
    """A checkerboard averages to nothing at half the side: without skips the output cannot depend on its sign."""
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    x = torch.stack([board, -board])[:, None]
    difference = {}
    for skips in (True, False):
        net = filled(Plain(1, 1, 16, 0, **{**SMALL, "skips": skips}))
        for norm in net.encoder[0].norms:
            norm.bias.data.fill_(50.0)  # ReLU lets everything through, so that the encoder is linear
        outputs = net(x, torch.zeros(2))[:, :, 5:11, 5:11]  # away from the border, where padding tells them apart
        difference[skips] = (outputs[0] - outputs[1]).abs().max().item() / outputs.abs().max().item()
    assert difference[True] > 10 * difference[False]


@pytest.mark.parametrize("kind", ["unet", "plain"])
def test_can_be_compiled_whole(kind: str) -> None:
    """No part of a call falls back to Python."""
    unet = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "head_channels": 8, "groups": 4,
            "scale_shift": True, "resample": "residual", "dropout": 0.0, "patch": 1}  # fmt: skip
    net = filled(UNet(1, 1, 8, 3, **unet) if kind == "unet" else Plain(1, 1, 8, 3, **SMALL))
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, torch.zeros(2), labels), net(x, torch.zeros(2), labels))
