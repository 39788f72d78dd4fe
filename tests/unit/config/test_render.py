"""params.yaml is written from the fields of its sections: each with a comment, and read back as it was."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ddpm.common import yaml_file
from ddpm.config import params, render
from ddpm.config.sections import diffusion, net, sample
from ddpm.sampling.options import OPTIONS

SECTIONS: list[type[BaseModel]] = [
    kind
    for field in params.Params.model_fields.values()
    for kind in (get_args(field.annotation) if field.discriminator else (field.annotation,))
]
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
        (params.Train, "clip", "largest norm of the gradient"),
        (params.Train, "optimizer", "optimiser: adam, adamw, sgd; muon: of hidden layers, with adamw for the rest"),
        (params.Prepare, "channels", "1 grey, 3 colour"),
        (params.Prepare, "labels", "folders: sub-folders are classes; none: unlabelled"),
        (params.Flow, "retries", "further attempts after a transient failure, such as a busy DVC lock (0 to 10)"),
        (params.Promote, "min_recall_ratio", "recall over that of real images (0 to 1); null: no limit"),
        (net.UNet, "dropout", "in every residual block (from 0, below 1)"),
        (net.Plain, "patch", f"{net.PATCH}: 1, 2, 4"),
        (diffusion.Edm, "sigma_min", "lowest level of noise (above 0, at most 10000)"),
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
        ("flow", "branch", "", '""'), ("flow", "cron", "@daily", '"@daily"'),
        ("train", "initial", "a # b: c", '"a # b: c"'),
        ("train", "initial", 'say "ä"\\', '"say \\"ä\\"\\\\"'), ("train", "weight_decay", 1e-9, "1e-09"),
        ("net", "attention", (), "[]"), ("net", "multipliers", (1, 2), "[1, 2]"), ("promote", "max_fid", None, "null"),
        ("train", "flip", True, "true"), ("train", "initial", "x" * 4000, "x" * 4000),
    ],
)  # fmt: skip
def test_values_that_look_like_others_are_read_back(section: str, key: str, value: Any, written: str) -> None:
    given = getattr(params.Params(), section)
    made = params.Params.model_validate({section: given.model_copy(update={key: value})})
    text = render.text(made, [])
    assert any(line.startswith(f"  {key}: {written}") for line in text.splitlines())
    assert getattr(getattr(params.parse(yaml_file.parse(text, "any")), section), key) == value
