"""Weights of our U-Net under the names of diffusers' UNet2DModel, and back; every value stays what it is."""

from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = (  # ours, theirs: parts between dots
    ("embedding.linear1", "time_embedding.linear_1"),
    ("embedding.linear2", "time_embedding.linear_2"),
    ("embedding.classes", "class_embedding"),
    ("norm_out", "conv_norm_out"),
    ("encoder", "down_blocks"),
    ("middle", "mid_block"),
    ("decoder", "up_blocks"),
    ("blocks", "resnets"),
    ("shortcut", "conv_shortcut"),
    ("embed", "time_emb_proj"),
    ("project", "to_out.0"),
)
FUSED, PARTS = "query_key_value", ("to_q", "to_k", "to_v")
OLD_NAMES = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
"""What diffusers called the layers of attention until 0.12, and checkpoints published before then still do."""


def theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `nets.unet.UNet` with patch 1, as UNet2DModel has them."""
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        names = their_names(name)
        renamed |= zip(names, value.chunk(len(names)), strict=True)
    return renamed


def ours(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, sine_first: bool = False
) -> dict[str, Tensor]:
    """Weights of a UNet2DModel as our U-Net has them; expected: those of a fresh one, for names and shapes.

    sine_first: the model is given sines before cosines; the columns that take them change places. Raises ValueError
    that names what is missing, left over, or of another shape.
    """
    there = {_new_name(name): value for name, value in weights.items()}
    wanted = {name: their_names(name) for name in expected}
    missing = sorted({each for names in wanted.values() for each in names} - set(there))
    surplus = sorted(set(there) - {each for names in wanted.values() for each in names})
    if missing or surplus:
        raise ValueError(
            f"the weights are not those of config.json: {_some('missing', missing)}; {_some('left over', surplus)}"
        )
    renamed = {name: torch.cat([there[each] for each in names]).float() for name, names in wanted.items()}
    for name, value in renamed.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"the weights are not those of config.json: {wanted[name][0]} has the shape "
                f"{tuple(there[wanted[name][0]].shape)}, which gives {tuple(value.shape)} "
                f"where {tuple(expected[name].shape)} is needed"
            )
    if sine_first:
        first = renamed["embedding.linear1.weight"]
        renamed["embedding.linear1.weight"] = first.roll(first.shape[1] // 2, dims=1)
    return renamed


def their_names(name: str) -> list[str]:
    """The names in UNet2DModel of one of our tensors: three for queries, keys and values, which are one of ours."""
    dotted = f".{name}."
    for ours, theirs in NAMES:
        dotted = dotted.replace(f".{ours}.", f".{theirs}.")
    dotted = dotted.replace(".resize.", ".downsamplers.0." if "down_blocks" in dotted else ".upsamplers.0.")
    if ".attentions." in dotted:
        dotted = dotted.replace(".norm.", ".group_norm.")
    renamed = dotted.strip(".")
    return [renamed.replace(FUSED, part) for part in PARTS] if FUSED in renamed else [renamed]


def _new_name(name: str) -> str:
    """A name as diffusers has it today."""
    if ".attentions." not in name:
        return name
    for old, new in OLD_NAMES:
        name = name.replace(f".{old}.", f".{new}.")
    return name


def _some(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "nothing"
    return f"{what}: {shown}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
