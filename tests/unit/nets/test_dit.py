"""The diffusion transformer: equal to diffusers' with renamed weights, and as large as published."""

import pytest
import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor

from ddpm.nets.dit import DiT, positions

SMALL = {"patch": 2, "width": 48, "depth": 3, "heads": 4, "mlp_ratio": 4, "dropout": 0.0}


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """Random values everywhere, so that the layers which start at zero count too."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return net.eval()


def rename(net: DiT) -> dict[str, Tensor]:
    """Our weights under the names of DiTTransformer2DModel, which keeps the embedding in every block."""
    renamed = {}
    for name, value in net.state_dict().items():
        if name.startswith("embedding"):
            told = _name(name)
            renamed |= {f"transformer_blocks.{block}.norm1.emb.{told}": value for block in range(len(net.blocks))}
        elif "query_key_value" in name:
            for part, chunk in zip(("to_q", "to_k", "to_v"), value.chunk(3), strict=True):
                renamed[_name(name).replace("query_key_value", f"attn1.{part}")] = chunk
        else:
            renamed[_name(name)] = value
    return renamed


def _name(name: str) -> str:
    in_block = [("modulation", "norm1.linear"), ("project", "attn1.to_out.0")] if name.startswith("blocks") else []
    for ours, theirs in [
        *in_block, ("modulation", "proj_out_1"), ("project", "proj_out_2"), ("patchify", "pos_embed.proj"),
        ("mlp1", "ff.net.0.proj"), ("mlp2", "ff.net.2"), ("blocks", "transformer_blocks"),
        ("embedding.linear", "timestep_embedder.linear_"), ("embedding.classes", "class_embedder.embedding_table"),
    ]:  # fmt: skip
        name = name.replace(ours, theirs)
    return name


def test_equals_diffusers_with_renamed_weights() -> None:
    net = filled(DiT(3, 6, 16, 5, **SMALL))
    reference = DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=12, in_channels=3, out_channels=6, num_layers=3, sample_size=16,
        patch_size=2, num_embeds_ada_norm=4, norm_eps=1e-6,
    ).eval()  # fmt: skip
    reference.load_state_dict(rename(net))
    for block in reference.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0  # as published; diffusers' frequencies differ a little
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    time, labels = torch.tensor([3, 700]), torch.tensor([1, 4])
    with torch.no_grad():
        found, expected = net(x, time.float(), labels), reference(x, time, labels).sample
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("depth", "width", "heads", "millions"),
    [(12, 384, 6, 33), (12, 768, 12, 130), (24, 1024, 16, 458), (28, 1152, 16, 675)],
)
def test_as_many_parameters_as_published(depth: int, width: int, heads: int, millions: int) -> None:
    """Peebles and Xie 2023: S/2, B/2, L/2 and XL/2, for 32 x 32 x 4 latents, a thousand classes, learned variance."""
    with torch.device("meta"):
        net = DiT(4, 8, 32, 1001, patch=2, width=width, depth=depth, heads=heads, mlp_ratio=4, dropout=0.0)
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6) == millions


def test_starts_as_zero_and_takes_any_patch() -> None:
    for patch in (1, 2, 4):
        net = DiT(1, 1, 8, 0, **{**SMALL, "patch": patch})
        x = torch.randn(2, 1, 8, 8)
        assert net(x, torch.zeros(2)).abs().max() == 0
        assert filled(net)(x, torch.zeros(2)).shape == x.shape


def test_a_token_sees_its_place_and_every_other_token() -> None:
    net = filled(DiT(1, 1, 8, 0, **SMALL))
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    output = net(x, torch.tensor([10.0]))
    assert output.std() > 1e-3  # the input is the same everywhere: only places differ
    output[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_positions_tell_columns_first() -> None:
    table = positions(4, 8).view(4, 4, 8)
    assert torch.equal(table[0, :, :4], table[3, :, :4])
    assert torch.equal(table[:, 0, 4:], table[:, 3, 4:])
    assert table[0, 2, 0].item() == pytest.approx(torch.tensor(2.0).sin().item())
    assert len(table.flatten(0, 1).unique(dim=0)) == 16


def test_can_be_compiled_whole() -> None:
    """No part of a call falls back to Python."""
    net = filled(DiT(1, 1, 8, 3, **SMALL))
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, torch.zeros(2), labels), net(x, torch.zeros(2), labels))
