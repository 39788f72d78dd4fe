"""Conversion of the configs of diffusers' UNet2DModel and schedulers. Field names and defaults are those of 0.42."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddpm.diffusion import schedule
from ddpm.exchange import names

UNET_DEFAULTS: dict[str, Any] = {
    "_class_name": None,
    "sample_size": None, "in_channels": 3, "out_channels": 3, "center_input_sample": False,
    "time_embedding_type": "positional", "time_embedding_dim": None, "freq_shift": 0, "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896], "layers_per_block": 2, "mid_block_scale_factor": 1,
    "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu",
    "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default", "add_attention": True, "class_embed_type": None, "num_class_embeds": None,
    "num_train_timesteps": None,
}  # fmt: skip
UNET_POSSIBLE: dict[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DModel",), "center_input_sample": (False,), "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",), "mid_block_scale_factor": (1,), "act_fn": ("silu", "swish"),
    "class_embed_type": (None,), "in_channels": (1, 3), "resnet_time_scale_shift": tuple(names.SHIFTS.values()),
    "downsample_type": (*names.RESAMPLES.values(), None), "upsample_type": (*names.RESAMPLES.values(), None),
}  # fmt: skip
SCHEDULER_DEFAULTS: dict[str, Any] = {
    "_class_name": None,
    "num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "trained_betas": None,
    "variance_type": "fixed_small", "clip_sample": True, "prediction_type": "epsilon", "thresholding": False,
    "dynamic_thresholding_ratio": 0.995, "clip_sample_range": 1.0, "sample_max_value": 1.0,
    "timestep_spacing": "leading", "steps_offset": 0, "rescale_betas_zero_snr": False, "set_alpha_to_one": True,
}  # fmt: skip
SCHEDULER_POSSIBLE: dict[str, tuple[Any, ...]] = {
    "_class_name": ("DDPMScheduler", "DDIMScheduler"), "beta_schedule": tuple(dict.fromkeys(names.SCHEDULES.values())),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", names.VARIANCES["learned"]),
    "thresholding": (False,),
    "clip_sample_range": (1.0,), "prediction_type": tuple(names.PREDICTIONS.values()),
    "rescale_betas_zero_snr": (False,),
}  # fmt: skip
"""Fields without a table of possible values are imported, or are sampling options, which are chosen anew here."""

LARGEST_STEPS, LARGEST_PATCH = 5000, 16


class Problems:
    """Everything that cannot be imported, collected to be reported at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, field: str, value: Any, why: str) -> None:
        """Add a problem with a field."""
        self.found.append(f"{field} = {value!r}: {why}")

    def check(
        self, config: Mapping[str, Any], defaults: Mapping[str, Any], possible: Mapping[str, tuple[Any, ...]]
    ) -> dict[str, Any]:
        """Return the config with defaults, adding problems for unknown fields and unsupported values."""
        for field, value in config.items():
            if field not in defaults and not field.startswith("_"):
                self.add(field, value, "unknown field")
        whole = {field: config.get(field, default) for field, default in defaults.items()}
        for field, values in possible.items():
            if whole[field] not in values:
                self.add(field, whole[field], f"supported: {', '.join(map(repr, values))}")
        return whole

    def stop(self, folder: Path) -> None:
        """Raise ValueError if there are any problems."""
        if self.found:
            lines = "\n".join(f"  {each}" for each in self.found)
            raise ValueError(f"the model in {folder} cannot be imported:\n{lines}")


def unpatched(config: Mapping[str, Any], problems: Problems) -> tuple[dict[str, Any], int]:
    """Return the config of the UNet2DModel and the side of its pixel patches, 1 without patches."""
    if config.get("_class_name") != names.PATCHED_CLASS:
        return dict(config), 1
    inside, patch = config.get(names.INSIDE), config.get("patch")
    if not isinstance(inside, dict) or not isinstance(patch, int) or not 2 <= patch <= LARGEST_PATCH:
        problems.add("patch", patch, f"{names.PATCHED_CLASS} needs 2 to {LARGEST_PATCH} and the fields of its unet")
        return dict(inside) if isinstance(inside, dict) else {}, 1
    folded = {name: config.get(name) for name in ("in_channels", "out_channels")}
    for name, value in folded.items():
        if not isinstance(value, int) or inside.get(name) != value * patch**2:
            problems.add(name, value, f"its unet has {inside.get(name)!r}, but {patch**2} times as many are needed")
    return {**inside, **folded}, patch


def unet(config: Mapping[str, Any], problems: Problems) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Convert to sections `image` (with `labels`, their number or None) and `net`, and whether sines come first."""
    whole = problems.check(config, UNET_DEFAULTS, UNET_POSSIBLE)
    widths, groups = list(whole["block_out_channels"]), whole["norm_num_groups"]
    side = _side(whole, len(widths), problems)
    _sizes(whole, widths, problems)
    attended = _attended(whole, problems)
    net = {
        "kind": "unet",
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": whole["layers_per_block"],
        "attention": [side // 2**level for level, has in enumerate(attended) if has],
        "middle_attention": whole["add_attention"],
        "head_channels": _head_channels(whole, widths, attended, problems),
        "groups": groups,
        "scale_shift": whole["resnet_time_scale_shift"] == names.SHIFTS[True],
        "resample": _resample(whole, problems),
        "dropout": whole["dropout"],
        "patch": 1,
        "layout": _layout(whole, problems),
    }
    image = {"resolution": side, "channels": whole["in_channels"], "labels": whole["num_class_embeds"]}
    return image, net, not whole["flip_sin_to_cos"]


def scheduler(config: Mapping[str, Any], unet: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Convert a scheduler's config to section `diffusion`. unet: config of the UNet2DModel, for learned variance."""
    whole = problems.check(config, SCHEDULER_DEFAULTS, SCHEDULER_POSSIBLE)
    steps = whole["num_train_timesteps"]
    if not 1 <= steps <= LARGEST_STEPS:
        problems.add("num_train_timesteps", steps, f"supported: 1 to {LARGEST_STEPS}")
    diffusion = {
        "process": "ddpm",
        "steps": steps,
        "schedule": _key(names.SCHEDULES, whole["beta_schedule"]),
        "beta_start": whole["beta_start"] * steps / 1000,
        "beta_end": whole["beta_end"] * steps / 1000,
        "prediction": _key(names.PREDICTIONS, whole["prediction_type"]),
        "sigma_data": 0.5,
        "weighting": "simple",
        "variance": _variance(whole, {**UNET_DEFAULTS, **unet}, problems),
        "condition": "none",
    }
    if whole["trained_betas"] is not None and whole["beta_schedule"] in names.SCHEDULES.values():
        named = schedule.betas(diffusion["schedule"], steps, diffusion["beta_start"], diffusion["beta_end"])
        given = torch.tensor(whole["trained_betas"], dtype=torch.float64)
        if given.shape != named.shape or not torch.allclose(given, named, rtol=1e-5, atol=0):
            problems.add(
                "trained_betas", f"{len(given)} numbers", "they differ from beta_schedule, beta_start and beta_end"
            )
    return diffusion


def _side(whole: Mapping[str, Any], levels: int, problems: Problems) -> int:
    size = whole["sample_size"]
    sides: set[int] = {size} if isinstance(size, int) else set(size or ())
    if len(sides) != 1 or min(sides) % 2 ** (levels - 1):
        problems.add("sample_size", size, f"supported: one side, divisible by {2 ** (levels - 1)}")
        return int(2 ** (levels - 1))
    return min(sides)


def _sizes(whole: Mapping[str, Any], widths: list[int], problems: Problems) -> None:
    """Check sizes that must be equal to, or multiples of, others."""
    if any(width % widths[0] for width in widths):
        problems.add("block_out_channels", widths, f"supported: multiples of the first, {widths[0]}")
    if not whole["norm_num_groups"] or widths[0] % whole["norm_num_groups"]:
        problems.add("norm_num_groups", whole["norm_num_groups"], f"supported: divisors of {widths[0]}")
    if whole["time_embedding_dim"] not in {None, 4 * widths[0]}:
        problems.add("time_embedding_dim", whole["time_embedding_dim"], f"supported: {4 * widths[0]}")
    scaled = whole["resnet_time_scale_shift"] != names.SHIFTS[False]
    middle = whole["attn_norm_num_groups"] or (None if scaled else whole["norm_num_groups"])
    if whole["add_attention"] and middle != whole["norm_num_groups"]:
        problems.add("attn_norm_num_groups", whole["attn_norm_num_groups"], f"supported: {whole['norm_num_groups']}")


def _variance(whole: Mapping[str, Any], unet: Mapping[str, Any], problems: Problems) -> str:
    """Return fixed, or learned: twice the channels, the second half of which is the variance."""
    kind, outputs, inputs = names.VARIANCES["learned"], unet["out_channels"], unet["in_channels"]
    learned = whole["variance_type"] == kind
    if learned and outputs != 2 * inputs:
        problems.add("variance_type", kind, "needs twice as many out_channels as in_channels")
    if not learned and outputs != inputs:
        why = f"supported: as many as in_channels, or twice as many with variance_type {kind!r}"
        problems.add("out_channels", outputs, why)
    return "learned" if learned else "fixed"


def _attended(whole: Mapping[str, Any], problems: Problems) -> list[bool]:
    """Return which levels have attention, from the top."""
    found: dict[str, list[bool]] = {}
    for way, field in enumerate(("down_block_types", "up_block_types")):
        possible = (names.ATTENTION[way], *(each[way] for each in names.LEVELS.values()))
        types = list(whole[field])
        if not set(types) <= set(possible) or len(types) != len(whole["block_out_channels"]):
            problems.add(field, types, f"supported: one for each level, of {', '.join(possible)}")
        found[field] = [each == names.ATTENTION[way] for each in types]
    if found["down_block_types"] != found["up_block_types"][::-1]:
        problems.add("up_block_types", list(whole["up_block_types"]), "supported: attention as in down_block_types")
    return found["down_block_types"]


def _head_channels(whole: Mapping[str, Any], widths: list[int], attended: list[bool], problems: Problems) -> int:
    """Return attention_head_dim; null means one head, as wide as the level."""
    mixing = {width for width, has in zip(widths, attended, strict=False) if has}
    mixing |= {widths[-1]} if whole["add_attention"] else set()
    given = whole["attention_head_dim"]
    if given is None and len(mixing) > 1:
        problems.add("attention_head_dim", None, f"one head at levels of different widths ({sorted(mixing)})")
    if given is not None and any(width % given for width in mixing):
        problems.add("attention_head_dim", given, f"supported: divisors of {sorted(mixing)}")
    return int(given or max(mixing, default=widths[-1]))


def _resample(whole: Mapping[str, Any], problems: Problems) -> str:
    """Return conv or residual; all levels that resample must agree."""
    found: set[str] = set()
    for way, (field, kind) in enumerate((("down_block_types", "downsample_type"), ("up_block_types", "upsample_type"))):
        for block in whole[field][:-1]:  # the last one does not resample
            if block == names.ATTENTION[way]:
                found.add(_key(names.RESAMPLES, whole[kind] or "conv"))
            else:
                found |= {resample for resample, types in names.LEVELS.items() if block == types[way]}
    if len(found) > 1:
        problems.add("down_block_types", list(whole["down_block_types"]), "levels differ in their resampling")
    return min(found, default="conv")


def _layout(whole: Mapping[str, Any], problems: Problems) -> str:
    for layout, fields in names.LAYOUTS.items():
        if all(whole[field] == value for field, value in fields.items()):
            return layout
    given = {field: whole[field] for field in names.LAYOUTS["adm"]}
    possible = " or ".join(str(fields) for fields in names.LAYOUTS.values())
    problems.add("freq_shift, downsample_padding, norm_eps", tuple(given.values()), f"supported: {possible}")
    return "adm"


def _key(table: Mapping[str, str], value: str) -> str:
    """Return our name; the first one for a value that `Problems.check` has refused."""
    return next((ours for ours, theirs in table.items() if theirs == value), next(iter(table)))
