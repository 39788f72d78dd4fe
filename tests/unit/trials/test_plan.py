"""Variants, budgets, and names of trials."""

from pathlib import Path
from typing import Any

import pytest

from ddpm.config import params, presets
from ddpm.config.params import ParamsError
from ddpm.trials import plan

ROOT = Path(__file__).parents[3]
BASE = presets.values(ROOT / "presets/quick.yaml")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_lists_of_values_make_their_product_and_a_list_in_brackets_is_one_value() -> None:
    assert plan.variants(["train.lr=0.001,2e-3", "train.flip=true"]) == [
        {"train.lr": 0.001, "train.flip": True}, {"train.lr": 0.002, "train.flip": True},
    ]  # fmt: skip
    assert plan.variants(["net.multipliers=[1, 2],[1, 2, 2]"]) == [
        {"net.multipliers": [1, 2]}, {"net.multipliers": [1, 2, 2]},
    ]  # fmt: skip
    assert plan.variants(["sample.churn_max=null"]) == [{"sample.churn_max": None}]
    assert plan.variants([]) == []


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["train.lr"], "is not SECTION.KEY=VALUE"),
        (["lr=1"], "is not SECTION.KEY=VALUE"),
        (["train.lr=1", "train.lr=2"], "train.lr is set twice"),
        (["train.lr="], "train.lr has no value"),
        (["train.lr=[1"], "not valid YAML"),
        ([f"train.seed={','.join(map(str, range(101)))}"], "101 variants; at most 100"),
    ],
)
def test_arguments_that_are_no_changes_are_refused(assignments: list[str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        plan.variants(assignments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.lrr": 0.1}, "train.lrr is not a parameter; did you mean lr?"),
        ({"train.lr": 100}, "train.lr"),
        ({"train.lr": "fast"}, "train.lr"),
        ({"train.lr": BASE["train"]["lr"]}, "changes nothing"),
        ({"promote.min_improvement": 0.9}, "changes nothing"),
        ({"flow.max_drift": 0.9}, "changes nothing"),
        ({"train.initial": "nowhere"}, "nowhere"),
    ],
)
def test_variants_that_cannot_run_or_change_nothing_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        plan.make(BASE, [changes])


def test_equal_variants_are_refused() -> None:
    with pytest.raises(ParamsError, match="two variants are the same"):
        plan.make(BASE, [{"train.lr": 0.001}, {"train.lr": 0.001}])


def test_a_name_depends_on_all_that_shapes_the_result_and_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = plan.make(BASE, [{"train.lr": 0.001}])
    assert first.name.startswith("lr-0.001-")
    assert first.values["train"]["lr"] == 0.001
    other = BASE | {"promote": BASE["promote"] | {"min_improvement": 0.9}}
    assert plan.make(other, [{"train.lr": 0.001}])[0].name == first.name
    other = BASE | {"train": BASE["train"] | {"batch": 64}}
    assert plan.make(other, [{"train.lr": 0.001}])[0].name != first.name
    monkeypatch.setattr(plan, "inputs_digest", lambda: "other code or data")
    assert plan.make(BASE, [{"train.lr": 0.001}])[0].name != first.name


def test_seeds_count_up_and_more_of_them_keep_the_names_of_the_first() -> None:
    three = plan.make(BASE, [{}, {"train.seed": 7}], seeds=3)
    assert [each.seed for each in three] == [0, 1, 2, 7, 8, 9]
    assert [each.values["train"]["seed"] for each in three] == [0, 1, 2, 7, 8, 9]
    assert len({each.name for each in three}) == 6
    assert plan.make(BASE, [{}])[0].name == three[0].name
    assert [each.name.rpartition("-")[0] for each in three[:3]] == ["recipe", "recipe-seed-1", "recipe-seed-2"]


def test_other_data_make_another_trial(tmp_path: Path) -> None:
    found = []
    for md5 in ("a" * 32, "b" * 32):
        (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {md5}.dir\n  path: data\n")
        found.append(plan.inputs_digest(tmp_path))
    assert found[0] != found[1]


def test_a_label_names_the_section_only_where_it_must() -> None:
    changes = {"train.lr": 0.001, "net.multipliers": [1, 2], "sample.guidance_interval": None}
    assert plan.short(changes) == "lr=0.001 multipliers=[1, 2] guidance_interval=null"
    assert plan.short({"train.batch": 1, "sample.batch": 2}) == "train.batch=1 sample.batch=2"
    assert plan.short({}) == "current recipe"
    assert plan.arguments(changes).startswith("train.lr=0.001 'net.multipliers=[1, 2]' ")


@pytest.mark.parametrize("share", [1 / 3, 0.05, 0.002])
def test_a_budget_scales_images_and_what_must_fit_in_them(share: float) -> None:
    made = plan.budgeted(BASE, share, "quick")["train"]
    params.parse(BASE | {"train": made})
    before = BASE["train"]
    assert made["images"] % before["batch"] == 0
    assert abs(made["images"] - share * before["images"]) <= before["batch"]
    assert made["warmup"] <= made["images"]
    for key in ("ema", "log_every", "checkpoint_every"):
        assert made[key] == max(1, round(share * before[key]))
    assert {key for key in made if made[key] != before[key]} <= set(plan.SCALED)


def test_a_warmup_of_the_whole_training_still_fits_after_rounding() -> None:
    base = BASE | {"train": BASE["train"] | {"warmup": BASE["train"]["images"]}}
    made = plan.budgeted(base, 0.0028, "quick")["train"]  # 44.8 images, of which one batch is kept
    assert (made["images"], made["warmup"]) == (32, 32)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_budget_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ParamsError, match="above 0 and at most 1"):
        plan.budgeted(BASE, share, "quick")
