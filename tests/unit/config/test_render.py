"""params.yaml is written from the fields of its sections: each with a comment, and read back as it was."""

from pathlib import Path
from typing import Any, get_args

import pytest
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from ddpm.common import yaml_file
from ddpm.config import changes, params, presets, render
from ddpm.config.sections import diffusion, net, prepare, sample
from ddpm.sampling.options import OPTIONS

SECTIONS: list[type[BaseModel]] = [
    kind
    for field in params.Params.model_fields.values()
    for kind in (get_args(field.annotation) if field.discriminator else (field.annotation,))
]
PRESETS = presets.paths(Path(__file__).parents[3] / "presets")
FIELDS = [(section, name) for section in SECTIONS for name in section.model_fields]


@pytest.mark.parametrize(("section", "name"), FIELDS, ids=lambda each: each if isinstance(each, str) else each.__name__)
def test_every_field_has_a_default_and_a_comment_with_all_its_choices(section: Any, name: str) -> None:
    field = section.model_fields[name]
    assert field.description
    assert not field.is_required()
    shown = render.comment(section, name)
    assert "\n" not in shown
    choices = [each for each in get_args(field.annotation) if isinstance(each, str)]
    assert all(each in shown for each in choices)
    if type(None) in get_args(field.annotation):
        assert "; null: " in shown


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        (params.Train, "lr", "peak learning rate (above 0, at most 10)"),
        (params.Train, "clip", "gradient clipping: largest norm"),
        (params.Train, "optimizer", "optimiser: adam, adamw, sgd; muon: of hidden layers, with adamw for the rest"),
        (prepare.Images, "channels", "1 grey, 3 colour"),
        (prepare.Images, "labels", "folders: sub-folders are classes; none: unlabelled"),
        (params.Flow, "retries", "further attempts after a transient failure, such as a busy DVC lock (0 to 10)"),
        (params.Promote, "min_recall_ratio", "smallest recall relative to real images (0 to 1); null: no limit"),
        (net.UNet, "dropout", "in every residual block (from 0, below 1)"),
        (net.Plain, "patch", f"{net.PATCH}: 1, 2, 4"),
        (diffusion.Edm, "sigma_min", "lowest noise level (above 0, at most 10000)"),
    ],
)
def test_a_comment_has_description_and_range_or_choices(section: Any, name: str, expected: str) -> None:
    assert render.comment(section, name) == expected


def test_a_multiple_is_part_of_the_range() -> None:
    assert render.comment(params.Features, "width").endswith("(4 to 1024, a multiple of 4)")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sampler_option_has_the_words_of_the_command_line(name: str) -> None:
    option = OPTIONS[name]
    assert render.comment(sample.Sample, name) == option.described + (f"; null: {option.none}" if option.none else "")


@pytest.mark.parametrize("kind", [net.UNet, net.DiT, net.Plain, diffusion.VpSde, diffusion.VeSde, diffusion.Edm])
def test_every_kind_is_read_back_with_its_defaults(kind: Any) -> None:
    name = "net" if kind.__module__ == net.__name__ else "diffusion"
    made = params.Params.model_validate({name: kind()})
    assert params.parse(yaml_file.parse(render.text(made, ["Any"]), "any")) == made


@pytest.mark.parametrize(
    ("section", "key", "value", "written"),
    [
        ("promote", "name", "123", "'123'"), ("promote", "name", "null", "'null'"), ("promote", "name", "1e5", "'1e5'"),
        ("flow", "branch", "", "''"), ("flow", "cron", "@daily", "'@daily'"),
        ("train", "initial", "a # b: c", "'a # b: c'"),
        ("train", "initial", 'say "ä"\\', 'say "ä"\\'), ("train", "weight_decay", 1e-9, "1e-09"),
        ("net", "attention", (), "[]"), ("net", "multipliers", (1, 2), " "), ("promote", "max_fid", None, " "),
        ("train", "flip", True, "true"), ("train", "initial", "x" * 4000, "x" * 4000),
    ],
)  # fmt: skip
def test_values_that_look_like_others_are_read_back(section: str, key: str, value: Any, written: str) -> None:
    given = getattr(params.Params(), section)
    made = params.Params.model_validate({section: given.model_copy(update={key: value})})
    text = render.text(made, [])
    assert any(line.startswith(f"  {key}: {written}") for line in text.splitlines())
    assert getattr(getattr(params.parse(yaml_file.parse(text, "any")), section), key) == value


@pytest.mark.parametrize("name", PRESETS)
def test_an_experiment_of_dvc_changes_one_line_of_the_file(name: str, tmp_path: Path) -> None:
    """`dvc exp run -S` reads and writes the whole file, in ruamel's own form."""
    file = tmp_path / "params.yaml"
    file.write_text(presets.text(PRESETS[name]))
    before = file.read_text().splitlines()
    apply_overrides(file, ["train.images=12345"])
    after = file.read_text().splitlines()
    assert len(after) == len(before)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split("#")[0].strip() for line in changed] == ["images: 12345"]


def test_a_value_changed_by_this_program_is_written_as_by_dvc(tmp_path: Path) -> None:
    texts = {"flow.branch": "", "flow.cron": "0 4 * * *"}
    changed = {"promote.max_fid": None, "train.lr": 0.0005, "net.multipliers": [1, 4]} | texts
    file = tmp_path / "params.yaml"
    file.write_text(changes.in_text(presets.text(PRESETS["mnist"]), changed))
    ours = file.read_text()
    apply_overrides(file, ["train.lr=0.0005"])
    assert file.read_text() == ours
