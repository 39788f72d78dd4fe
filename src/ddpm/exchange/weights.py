"""Renaming of weights between our U-Net and diffusers' UNet2DModel; values are unchanged."""

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
"""Names of attention layers in diffusers before 0.12, still found in checkpoints published before then."""


def theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a `nets.unet.UNet` with patch 1 as in UNet2DModel."""
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        names = their_names(name)
        renamed |= zip(names, value.chunk(len(names)), strict=True)
    return renamed


def ours(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, sine_first: bool = False
) -> dict[str, Tensor]:
    """Rename the weights of a UNet2DModel as in our U-Net. expected: weights of a new one, for names and shapes.

    sine_first: True if sines precede cosines in the model's time embedding; the columns are swapped then. Raises
    ValueError that names missing and surplus weights, and wrong shapes.
    """
    there = {_new_name(name): value for name, value in weights.items()}
    wanted = {name: their_names(name) for name in expected}
    missing = sorted({each for names in wanted.values() for each in names} - set(there))
    surplus = sorted(set(there) - {each for names in wanted.values() for each in names})
    if missing or surplus:
        raise ValueError(
            f"the weights do not match config.json: {_some('missing', missing)}; {_some('surplus', surplus)}"
        )
    renamed = {name: torch.cat([there[each] for each in names]).float() for name, names in wanted.items()}
    for name, value in renamed.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"the weights do not match config.json: {wanted[name][0]} has shape "
                f"{tuple(there[wanted[name][0]].shape)}, which gives {tuple(value.shape)} "
                f"where {tuple(expected[name].shape)} is needed"
            )
    if sine_first:
        first = renamed["embedding.linear1.weight"]
        renamed["embedding.linear1.weight"] = first.roll(first.shape[1] // 2, dims=1)
    return renamed


def their_names(name: str) -> list[str]:
    """Return the names in UNet2DModel of one of our tensors: three for our fused queries, keys and values."""
    dotted = f".{name}."
    for ours, theirs in NAMES:
        dotted = dotted.replace(f".{ours}.", f".{theirs}.")
    dotted = dotted.replace(".resize.", ".downsamplers.0." if "down_blocks" in dotted else ".upsamplers.0.")
    if ".attentions." in dotted:
        dotted = dotted.replace(".norm.", ".group_norm.")
    renamed = dotted.strip(".")
    return [renamed.replace(FUSED, part) for part in PARTS] if FUSED in renamed else [renamed]


def _new_name(name: str) -> str:
    """Convert a name to that of current diffusers."""
    if ".attentions." not in name:
        return name
    for old, new in OLD_NAMES:
        name = name.replace(f".{old}.", f".{new}.")
    return name


def _some(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "nothing"
    return f"{what}: {shown}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
