"""Ranges of parameters and the rules between them."""

from typing import Any

import pytest

from ddpm.config import presets
from tests.support.changed_params import ROOT, refusal, with_changes

FEW_STEPS = {"train__objective": "consistency", "train__initial": "teacher", "sample__sampler": "consistency"}


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("prepare__resolution", 3, "greater than or equal to 4"),
        ("prepare__resolution", 28.0, "integer"),
        ("prepare__channels", 2, "1 or 3"),
        ("prepare__labels", "yes", "'folders' or 'none'"),
        ("prepare__background", 256, "less than or equal to 255"),
        ("prepare__holdout", 0.0, "greater than 0"),
        ("prepare__holdout", 0.95, "less than 0.9"),
        ("prepare__max_bad_fraction", 1.5, "less than or equal to 1"),
        ("prepare__max_drift", 1.5, "less than or equal to 1"),
        ("diffusion__steps", 0, "greater than or equal to 1"),
        ("diffusion__steps", 5001, "less than or equal to 5000"),
        ("diffusion__schedule", "cosin", "'linear', 'scaled-linear', 'cosine', 'quadratic' or 'sigmoid'"),
        ("diffusion__beta_start", float("nan"), "finite"),
        ("net__dropout", 1.0, "less than 1"),
        ("net__patch", 3, "1, 2 or 4"),
        ("train__seed", -1, "greater than or equal to 0"),
        ("train__lr", 0.0, "greater than 0"),
        ("train__lr", "2e-3", "valid number"),
        ("train__batch", 0, "greater than or equal to 1"),
        ("train__flip", 1, "boolean"),
        ("train__keep", 1, "greater than or equal to 2"),
        ("sample__eta", 1.5, "less than or equal to 1"),
        ("promote__name", "has space", "pattern"),
        ("promote__max_fid", -1.0, "greater than 0"),
        ("promote__max_fid", float("inf"), "finite"),
        ("promote__max_fid_ratio", 0.0, "greater than 0"),
        ("promote__min_recall_ratio", 1.1, "less than or equal to 1"),
        ("promote__min_class_skill", -0.1, "greater than or equal to 0"),
        ("promote__min_improvement", 2.0, "less than or equal to 1"),
        ("promote__approval_hours", 0.0, "greater than 0"),
        ("promote__name", "", "pattern"),
        ("promote__name", "a/b", "pattern"),
        ("promote__name", "a:b", "pattern"),
        ("promote__name", "..", "pattern"),
        ("flow__time_limit", 0, "greater than or equal to 1"),
        ("flow__time_limit", 10**11, "less than or equal to"),
        ("flow__retries", 1_000_000, "less than or equal to 10"),
        ("train__batch", 10**9, "less than or equal to"),
        ("train__clip", float("nan"), "finite"),
        ("train__initial", "a\0b", "pattern"),
        ("sample__count", 10**30, "less than or equal to"),
        ("evaluate__neighbours", 10**9, "less than or equal to 1000"),
    ],
)
def test_a_value_out_of_range_names_key_value_and_limit(key: str, value: Any, limit: str) -> None:
    told = refusal(with_changes(**{key: value}))
    assert f"{key.replace('__', '.')} = {value!r}" in told
    assert limit in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train__objective": "consistency"}, ["train: objective: consistency", "as initial"]),
        (FEW_STEPS | {"train__ema": "auto"}, ["ema: auto", "give ema a number"]),
        (FEW_STEPS | {"train__compile": "reduce-overhead"}, ["reduce-overhead needs objective: denoising"]),
        (FEW_STEPS | {"sample__sampler": "ddim"}, ["needs sample.sampler = consistency; it is ddim"]),
        (FEW_STEPS | {"diffusion__prediction": "x0"}, ["diffusion.prediction = x0 does not; use v"]),
        (
            FEW_STEPS | {"prepare__labels": "none", "train__label_dropout": 0.0},
            ["train.teacher_guidance = 1.35 needs labels"],
        ),
        ({"sample__sampler": "consistency"}, ["needs a model trained with train.objective = consistency"]),
        ({"prepare__resolution": 30}, ["prepare.resolution = 30 must be divisible by 4", "net.patch = 2"]),
        (
            {
                "prepare__resolution": 30,
                "net__patch": 1,
                "net__attention": [15],
                "diffusion__condition": "low-resolution-4",
            },
            ["diffusion.condition = low-resolution-4", "divisible by 4; it is 30"],
        ),
        ({"net__attention": [9]}, ["net.attention = 9", "[14, 7]"]),
        ({"net__groups": 5}, ["groups = 5 must divide", "channels * 1 = 32"]),
        ({"net__head_channels": 24}, ["head_channels = 24 must divide", "64"]),
        ({"net__head_channels": 64, "net__attention": [14]}, ["head_channels = 64 must divide the width 32"]),
        ({"train__accumulation": 3}, ["accumulation = 3 must divide batch = 32"]),
        ({"train__compile": "reduce-overhead", "train__accumulation": 2}, ["reduce-overhead needs accumulation = 1"]),
        ({"train__compile": "reduce-overhead", "train__processes": 2}, ["reduce-overhead is for one process"]),
        ({"train__images": 16, "train__warmup": 0}, ["images = 16 is below one batch = 32"]),
        ({"train__warmup": 100_000_000}, ["warmup = 100000000 exceeds images"]),
        ({"diffusion__beta_start": 0.5}, ["beta_start = 0.5 must be below beta_end = 0.02"]),
        (
            {"prepare__labels": "none", "features__extractor": "inception", "sample__guidance": 2.0},
            ["sample.guidance = 2.0 needs labels", "prepare.labels = none"],
        ),
        ({"sample__guide": "weaker"}, ["guide = 'weaker' has no effect with guidance = 1"]),
        ({"sample__guidance": 2.0, "sample__guidance_interval": [2.0, 1.0]}, ["interval = [2.0, 1.0] is empty"]),
        ({"sample__guidance_rescale": 0.5}, ["guidance_rescale = 0.5 applies to guidance other than 1 only"]),
        ({"sample__guidance": 2.0, "train__label_dropout": 0.0}, ["train.label_dropout = 0", "such as 0.1"]),
        (
            {"prepare__labels": "none", "features__extractor": "classifier", "sample__guidance": 1.0},
            ["features.extractor = classifier needs labels", "use extractor: auto"],
        ),
        (
            {"features__extractor": "dinov2"},
            ["promote.min_inception_score = 6 needs an Inception Score", "dinov2 does not have; use null"],
        ),
        (
            {"features__extractor": "own"},
            ["features.extractor: own (layers declared in JSON) is not supported; use auto", "efficientnet-lite0"],
        ),
        ({"sample__steps": 1001}, ["sample.steps = 1001 exceeds diffusion.steps = 1000"]),
        ({"sample__eta": 0.5}, ["sample: eta = 0.5 applies to sampler ddim only"]),
        ({"evaluate__splits": 3000}, ["evaluate.splits = 3000 must divide sample.count = 2000"]),
        ({"evaluate__blocks": 3}, ["evaluate.blocks = 3 must divide sample.count = 2000"]),
        (
            {"sample__count": 10, "evaluate__splits": 1, "evaluate__blocks": 1},
            ["sample.count = 10", "50 images are the"],
        ),
        ({"sample__count": 10**10}, ["sample.count = 10000000000 images would take about", "TiB"]),
        ({"prepare__resolution": 1024, "net__attention": [], "train__batch": 2**16}, ["train.batch = 65536 at once"]),
        (
            {"net__channels": 1024, "net__multipliers": [64, 64], "net__attention": [], "net__middle_attention": False},
            ["net: the weights", "TiB"],
        ),
        ({"train__processes": 10**6}, ["less than or equal to 4096"]),
        ({"train__processes": 3}, ["3 processes cannot share train.batch = 32", "multiple of 3"]),
        (
            {"train__processes": 1, "train__sharding": "full", "train__channels_last": False},
            ["there is one. Raise train.processes"],
        ),
        (
            {"diffusion__steps": 5000, "diffusion__schedule": "linear", "diffusion__beta_end": 0.9},
            ["the largest noise level would be sigma = 1e", "it must be at most"],
        ),
        ({"evaluate__blocks": 50}, ["evaluate.blocks = 50 leaves 40 of sample.count = 2000", "at least 50 are needed"]),
    ],
)
def test_rules_between_keys(changes: dict[str, Any], told: list[str]) -> None:
    refused = refusal(with_changes(**changes))
    for part in told:
        assert part in refused


@pytest.mark.parametrize(
    ("preset", "low", "high"), [("vp-sde", "beta_min", "beta_max"), ("ve-sde", "sigma_min", "sigma_max")]
)
def test_noise_has_to_grow_in_every_process(preset: str, low: str, high: str) -> None:
    value = presets.values(ROOT / "presets" / f"{preset}.yaml")
    value["diffusion"][low] = value["diffusion"][high]
    assert f"{low} = {value['diffusion'][low]} must be below {high} = " in refusal(value)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("vp-sde", {"beta_max": 1000.0}),
        ("vp-sde", {"beta_max": 1000.0, "process": "sub-vp-sde"}),
        ("edm", {"p_mean": 10.0, "p_std": 10.0}),
    ],
)
def test_noise_beyond_float32_is_refused_in_every_process(preset: str, changes: dict[str, Any]) -> None:
    value = presets.values(ROOT / "presets" / f"{preset}.yaml")
    value["diffusion"] |= changes
    assert "largest noise level would be" in refusal(value)
