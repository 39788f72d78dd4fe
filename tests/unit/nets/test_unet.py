"""The U-Net: equal to diffusers' with renamed weights, and what its options promise."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DModel

from ddpm.exchange import weights
from ddpm.nets.layers import ResidualBlock, sinusoids
from ddpm.nets.unet import UNet
from ddpm.runtime.device import channels_last

PLAIN = {"channels": 16, "multipliers": (1, 2, 2), "blocks": 2, "attention": (8,), "head_channels": 8, "groups": 8,
         "scale_shift": False, "resample": "conv", "dropout": 0.0, "patch": 1}  # fmt: skip


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """Random values everywhere, so that the layers which start at zero count too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return net.eval()


def reference(**changes: Any) -> UNet2DModel:
    """Build diffusers' network with the same settings."""
    settings = {
        "sample_size": 16, "block_out_channels": (16, 32, 32), "layers_per_block": 2, "attention_head_dim": 8,
        "norm_num_groups": 8, "attn_norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    return UNet2DModel(**settings | changes).eval()


RESIDUAL = {
    "downsample_type": "resnet", "upsample_type": "resnet",
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
    "up_block_types": ("ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "classes", "same"),
    [
        ({}, 0, {}),
        ({"scale_shift": True}, 4, {"resnet_time_scale_shift": "scale_shift", "num_class_embeds": 4}),
        ({"resample": "residual"}, 0, RESIDUAL),
        ({"resample": "residual", "scale_shift": True}, 0, RESIDUAL | {"resnet_time_scale_shift": "scale_shift"}),
        ({"layout": "ddpm"}, 0, {"downsample_padding": 0, "freq_shift": 1, "norm_eps": 1e-6}),
        ({"middle_attention": False}, 0, {"add_attention": False}),
    ],
)
def test_equals_diffusers_with_renamed_weights(options: dict[str, Any], classes: int, same: dict[str, Any]) -> None:
    net = filled(UNet(3, 3, 16, classes, **{**PLAIN, **options}))
    theirs = reference(**same)
    theirs.load_state_dict(weights.theirs(net.state_dict()))
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    time = torch.tensor([3.0, 700.0])
    labels = torch.tensor([1, 3]) if classes else None
    with torch.no_grad():
        found, expected = net(x, time, labels), theirs(x, time, class_labels=labels).sample
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_more_channels_put_in_and_put_out_than_an_image_has() -> None:
    net = filled(UNet(6, 2, 16, 0, **{**PLAIN, "patch": 2}))
    assert net(torch.randn(2, 6, 16, 16), torch.zeros(2)).shape == (2, 2, 16, 16)
    theirs = reference(in_channels=6, out_channels=2)
    net = filled(UNet(6, 2, 16, 0, **PLAIN))
    theirs.load_state_dict(weights.theirs(net.state_dict()))
    x, time = torch.randn(2, 6, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        torch.testing.assert_close(net(x, time), theirs(x, time).sample, rtol=1e-4, atol=1e-4)


def test_as_many_parameters_as_the_published_cifar10_network() -> None:
    published = {"channels": 128, "multipliers": (1, 2, 2, 2), "blocks": 2, "attention": (16,), "head_channels": 256,
                 "groups": 32, "scale_shift": False, "resample": "conv", "dropout": 0.1, "patch": 1,
                 "layout": "ddpm"}  # fmt: skip
    net = UNet(3, 3, 32, 0, **published)
    assert sum(parameter.numel() for parameter in net.parameters()) == 35_746_307  # diffusers' google/ddpm-cifar10-32


@pytest.mark.parametrize("patch", [1, 2])
def test_starts_as_zero_and_keeps_the_shape(patch: int) -> None:
    net = UNet(1, 1, 16, 3, **{**PLAIN, "patch": patch})
    x = torch.randn(2, 1, 16, 16)
    assert net(x, torch.zeros(2), torch.tensor([0, 2])).abs().max() == 0
    assert filled(net)(x, torch.zeros(2), torch.tensor([0, 2])).shape == x.shape


def test_time_and_label_each_matter() -> None:
    net = filled(UNet(1, 1, 16, 3, **PLAIN))
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(2)).expand(3, -1, -1, -1)
    outputs = net(x, torch.tensor([0.0, 500.0, 0.0]), torch.tensor([0, 0, 1]))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert (outputs[0] - outputs[2]).abs().max() > 1e-3


def test_labels_where_there_are_none_and_none_where_there_are() -> None:
    x, time = torch.zeros(1, 1, 16, 16), torch.zeros(1)
    with pytest.raises(ValueError, match="without labels"):
        UNet(1, 1, 16, 0, **PLAIN)(x, time, torch.tensor([0]))
    with pytest.raises(ValueError, match="class-conditional"):
        UNet(1, 1, 16, 3, **PLAIN)(x, time)


def test_sinusoids_start_with_the_fastest_cosine() -> None:
    embedding = sinusoids(torch.tensor([0.0, torch.pi]), 8)
    assert embedding[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert embedding[1, 0].item() == pytest.approx(-1)


@pytest.mark.parametrize("resample", ["conv", "residual"])
def test_one_channel_images_keep_the_channels_last_order(resample: str) -> None:
    net = filled(UNet(1, 1, 16, 0, **{**PLAIN, "resample": resample}))
    x, time = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700.0])
    expected = net(x, time)
    channels_last(net)
    orders = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        orders.append(result.is_contiguous(memory_format=torch.channels_last))

    for module in net.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(note)
    torch.testing.assert_close(net(x, time), expected, rtol=1e-4, atol=1e-4)
    assert len(orders) > 10
    assert all(orders)
