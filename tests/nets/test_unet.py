"""The U-Net: equal to diffusers' with renamed weights, and what its options promise."""

import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor

from ddpm.nets.layers import sinusoids
from ddpm.nets.unet import UNet

PLAIN = {"channels": 16, "multipliers": (1, 2, 2), "blocks": 2, "attention": (8,), "head_channels": 8, "groups": 8,
         "scale_shift": False, "dropout": 0.0, "patch": 1}  # fmt: skip


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """Random values everywhere, so that the layers which start at zero count too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return net.eval()


def rename(net: UNet) -> dict[str, Tensor]:
    """Our weights under the names of diffusers' UNet2DModel."""
    renamed = {}
    for name, value in net.state_dict().items():
        if "query_key_value" in name:
            for part, chunk in zip(("to_q", "to_k", "to_v"), value.chunk(3), strict=True):
                renamed[_name(name).replace("query_key_value", part)] = chunk
        else:
            renamed[_name(name)] = value
    return renamed


def _name(name: str) -> str:
    for ours, theirs in [
        ("embedding.linear1", "time_embedding.linear_1"), ("embedding.linear2", "time_embedding.linear_2"),
        ("embedding.classes", "class_embedding"), ("norm_out", "conv_norm_out"), ("encoder", "down_blocks"),
        ("decoder", "up_blocks"), ("middle", "mid_block"), ("blocks", "resnets"), (".shortcut", ".conv_shortcut"),
        (".embed.", ".time_emb_proj."), (".project.", ".to_out.0."),
    ]:  # fmt: skip
        name = name.replace(ours, theirs) if ours != "blocks" else name.replace(".blocks.", ".resnets.")
    if ".attentions." in name:
        name = name.replace(".norm.", ".group_norm.")
    way = "downsamplers.0" if name.startswith("down_blocks") else "upsamplers.0"
    return name.replace("resize", way)


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("classes", [0, 4])
def test_equals_diffusers_with_renamed_weights(scale_shift: bool, classes: int) -> None:
    net = filled(UNet(3, 16, classes, **{**PLAIN, "scale_shift": scale_shift}))
    reference = UNet2DModel(
        sample_size=16, block_out_channels=(16, 32, 32), layers_per_block=2, attention_head_dim=8, norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        resnet_time_scale_shift="scale_shift" if scale_shift else "default",
        num_class_embeds=classes or None, attn_norm_num_groups=8,
    ).eval()  # fmt: skip
    reference.load_state_dict(rename(net))
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    time = torch.tensor([3.0, 700.0])
    labels = torch.tensor([1, 3]) if classes else None
    with torch.no_grad():
        torch.testing.assert_close(
            net(x, time, labels), reference(x, time, class_labels=labels).sample, rtol=1e-4, atol=1e-4
        )


def test_as_many_parameters_as_the_published_cifar10_network() -> None:
    published = {"channels": 128, "multipliers": (1, 2, 2, 2), "blocks": 2, "attention": (16,), "head_channels": 256,
                 "groups": 32, "scale_shift": False, "dropout": 0.1, "patch": 1}  # fmt: skip
    net = UNet(3, 32, 0, **published)
    assert sum(parameter.numel() for parameter in net.parameters()) == 35_746_307  # diffusers' google/ddpm-cifar10-32


@pytest.mark.parametrize("patch", [1, 2])
def test_starts_as_zero_and_keeps_the_shape(patch: int) -> None:
    net = UNet(1, 16, 3, **{**PLAIN, "patch": patch})
    x = torch.randn(2, 1, 16, 16)
    assert net(x, torch.zeros(2), torch.tensor([0, 2])).abs().max() == 0
    assert filled(net)(x, torch.zeros(2), torch.tensor([0, 2])).shape == x.shape


def test_time_and_label_each_matter() -> None:
    net = filled(UNet(1, 16, 3, **PLAIN))
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(2)).expand(3, -1, -1, -1)
    outputs = net(x, torch.tensor([0.0, 500.0, 0.0]), torch.tensor([0, 0, 1]))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    assert (outputs[0] - outputs[2]).abs().max() > 1e-3


def test_labels_where_there_are_none_and_none_where_there_are() -> None:
    x, time = torch.zeros(1, 1, 16, 16), torch.zeros(1)
    with pytest.raises(ValueError, match="without labels"):
        UNet(1, 16, 0, **PLAIN)(x, time, torch.tensor([0]))
    with pytest.raises(ValueError, match="class-conditional"):
        UNet(1, 16, 3, **PLAIN)(x, time)


def test_sinusoids_start_with_the_fastest_cosine() -> None:
    embedding = sinusoids(torch.tensor([0.0, torch.pi]), 8)
    assert embedding[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert embedding[1, 0].item() == pytest.approx(-1)
