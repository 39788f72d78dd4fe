"""Wrong parameters fail before any work and name the key, its value, the limit, the nearest valid name."""

import json
import math
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ddpm.cli.edit import flat
from ddpm.config import changes, params
from ddpm.config.sections.diffusion import Ddpm
from ddpm.diffusion.conditioning import CONDITIONS
from ddpm.sampling.options import OPTIONS, Sampler, Sampling, Spacing, Variance
from tests.support.changed_params import ROOT, VALID, refusal, with_changes


def test_the_committed_file_is_valid_and_frozen() -> None:
    found = params.load(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        found.train.lr = 1.0  # type: ignore[misc]  # that it cannot be set is what is tested


@pytest.mark.parametrize(
    ("section", "misspelt", "nearest"),
    [
        ("train", "learning_rates", "log_every"),
        ("train", "acumulation", "accumulation"),
        ("train", "optimiser", "optimizer"),
        ("prepare", "resolutoin", "resolution"),
        ("diffusion", "shedule", "schedule"),
        ("net", "chanels", "channels"),
        ("sample", "guidence", "guidance"),
        ("evaluate", "neighbors", "neighbours"),
        ("promote", "maxfid", "max_fid"),
    ],
)
def test_a_misspelt_key_names_the_nearest_valid_one(section: str, misspelt: str, nearest: str) -> None:
    value = with_changes()
    value[section][misspelt] = 1
    told = refusal(value)
    assert f"{section}.{misspelt} is not a parameter" in told
    if misspelt != "learning_rates":
        assert f"did you mean {nearest}?" in told


DIT = {"kind": "dit", "patch": 2, "width": 32, "depth": 2, "heads": 4, "mlp_ratio": 4, "dropout": 0.0}


PLAIN = {"kind": "plain", "channels": 16, "levels": 2, "blocks": 2, "skips": True, "groups": 8, "patch": 2}


@pytest.mark.parametrize("net", [DIT, PLAIN], ids=lambda net: str(net["kind"]))
def test_other_kinds_of_network_have_their_own_keys(net: dict[str, Any]) -> None:
    found = params.parse(VALID | {"net": net})
    assert found.net.kind == net["kind"]
    assert {key for key in params.flatten(found) if key.startswith("net.")} == {f"net.{key}" for key in net}


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (DIT | {"dept": 3}, ["net.dept is not a parameter; did you mean depth?"]),
        (DIT | {"multipliers": [1, 2]}, ["net.multipliers is not a parameter", "valid: kind, patch, width, depth"]),
        (PLAIN | {"skip": True}, ["net.skip is not a parameter; did you mean skips?"]),
        ({key: value for key, value in DIT.items() if key != "heads"}, ["net.heads is missing"]),
        ({key: value for key, value in DIT.items() if key != "kind"}, ["net.kind is missing", "unet, dit, plain"]),
        (DIT | {"kind": "vit"}, ["net.kind = 'vit' is unknown; did you mean dit?"]),
        (DIT | {"heads": 5}, ["net: heads = 5 must divide width = 32"]),
        (DIT | {"width": 30, "heads": 5}, ["net: width = 30 must be divisible by 4"]),
        (DIT | {"patch": 3}, ["net.patch = 3 must divide prepare.resolution = 28"]),
        (DIT | {"depth": 0}, ["net.depth = 0: input should be greater than or equal to 1"]),
        (PLAIN | {"groups": 3}, ["net: groups = 3 must divide channels = 16"]),
        (PLAIN | {"levels": 3}, ["prepare.resolution = 28 must be divisible by 8", "net.levels = 3"]),
    ],
)
def test_rules_of_other_kinds_of_network(net: dict[str, Any], told: list[str]) -> None:
    refused = refusal(VALID | {"net": net})
    for part in told:
        assert part in refused


def test_a_misspelt_section_and_a_name_unlike_any() -> None:
    assert "trian is not a parameter; did you mean train?" in refusal(VALID | {"trian": {}})
    value = with_changes()
    value["promote"]["xyzzy"] = 1
    assert "promote.xyzzy is not a parameter; valid: name, max_fid" in refusal(value)


@pytest.mark.parametrize("schedule", ["linear", "scaled-linear", "quadratic", "sigmoid"])
@pytest.mark.parametrize(
    ("steps", "start", "end"), [(1000, 1e-4, 0.02), (7, 0.001, 0.3), (1, 0.1, 0.2), (5000, 0.1, 0.9)]
)
def test_the_noise_of_a_schedule_is_known_without_torch(schedule: str, steps: int, start: float, end: float) -> None:
    from ddpm.diffusion.schedule import betas

    values = with_changes(diffusion__schedule="cosine", diffusion__steps=steps, sample__steps=1)["diffusion"]
    section = Ddpm(**values | {"beta_start": start, "beta_end": end}).model_copy(update={"schedule": schedule})
    assert section._betas() == pytest.approx(betas(schedule, steps, start, end).tolist())


@pytest.mark.parametrize("steps", [1000, 2000, 5000])
def test_long_forward_processes_are_allowed(steps: int) -> None:
    assert params.parse(with_changes(diffusion__steps=steps)).diffusion.steps == steps


def test_everything_wrong_is_told_at_once_and_a_missing_key_is_named() -> None:
    value = with_changes(train__lr=-1.0, prepare__background=-1)
    del value["net"]["blocks"]
    told = refusal(value)
    assert all(
        part in told
        for part in ("train.lr = -1.0", "prepare.background = -1", "net.blocks is missing; its default is 1")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [1", "not valid YAML"), ("just text", "must have sections"), ("", "must have sections")],
)
def test_a_file_that_is_no_params_file(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(params.ParamsError, match=told) as error:
        params.load(path)
    assert str(path) in str(error.value)
    with pytest.raises(params.ParamsError, match="ddpm preset mnist"):
        params.load(tmp_path / "none.yaml")


def test_yaml_1_2_is_read_and_no_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(params.ParamsError, match="not valid YAML"):
        params.load(path)
    path.write_text("a: no")
    assert params.read_yaml(path) == {"a": "no"}


def test_flatten_has_every_key_as_text() -> None:
    found = params.flatten(params.parse(VALID))
    assert set(found) == set(flat(VALID))
    assert found["prepare.resolution"] == str(VALID["prepare"]["resolution"])


def test_editing_keeps_every_other_byte() -> None:
    text = (ROOT / "params.yaml").read_text()
    assert changes.in_text(text, {}) == text
    edited = changes.in_text(
        text, {"prepare.resolution": 64, "net.multipliers": [1, 4], "promote.max_fid": None, "train.flip": True}
    )
    before, after = text.splitlines(), edited.splitlines()
    differing = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split("#")[0].strip() for line in differing] == [
        "resolution: 64",
        "- 4",
        "flip: true",
        "max_fid:",
    ]
    assert [line.partition("#")[2] for line in before] == [line.partition("#")[2] for line in after]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_has_the_scale_that_the_mathematics_give_it(condition: str) -> None:
    found = params.parse(with_changes(diffusion__condition=condition)).diffusion
    assert found.shrinks_by == max(1, CONDITIONS[condition])


def test_a_message_about_endless_things_is_short() -> None:
    value = with_changes(train__seed=10**5000, train__optimizer="x" * 10**6)
    value["train"] |= {f"key{number}": number for number in range(1000)}
    value["train"]["\x1b[31m"] = 1
    told = refusal(value)
    assert len(told) < 10_000
    assert told.splitlines()[-1].strip().endswith("more")
    assert "\x1b" not in told


@pytest.mark.parametrize(
    "text", ["train: [1", "train: 5", "promote: {name: digits, max_fid: -1}\nnet: 3", "promote:\n  name: digits\n"]
)
def test_the_name_of_the_model_needs_nothing_else(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    if "digits" in text:
        assert params.model_name(path) == "digits"
    else:
        with pytest.raises(params.ParamsError, match=r"not valid YAML|has no promote\.name"):
            params.model_name(path)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", ".", "a\n", 3, None, "é"])
def test_a_name_that_mlflow_refuses_is_refused_and_so_by_itself(name: Any, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"promote: {json.dumps({'name': name})}")
    with pytest.raises(params.ParamsError, match=r"promote\.name"):
        params.model_name(path)


def test_a_name_is_one_that_mlflow_takes() -> None:
    from mlflow.utils.validation import _validate_model_name

    for name in ("ddpm-mnist", "a..b", "a.", "0", "a-_.", "x" * 100):
        params.parse(with_changes(promote__name=name))
        _validate_model_name(name)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sampler_option_has_its_type_default_and_range_in_section_sample(name: str) -> None:
    """The types are stated twice, for the type checker; everything else has one definition."""
    given, option = params.Sample.model_fields[name], OPTIONS[name]
    assert given.annotation == {"sampler": Sampler, "spacing": Spacing, "variance": Variance}.get(
        name, get_type_hints(Sampling)[name]
    )
    for value in (option.least, option.most):
        if value not in {None, math.inf} and name != "steps":
            wrong = value + (1 if value == option.most else -1)
            assert f"sample.{name} = {wrong}: input should be" in refusal(with_changes(**{f"sample__{name}": wrong}))
