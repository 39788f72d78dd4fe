"""Sampler options: values that suit no model, the table of samplers, and the page made from it."""

import inspect
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest

from ddpm.diffusion import schedule
from ddpm.diffusion.samplers import table as samplers
from ddpm.sampling import options as sampling
from ddpm.sampling.generate import Sampling

ROOT = Path(__file__).parents[3]


def test_what_belongs_to_guidance_is_left_out_without_it() -> None:
    """A registered model that was measured with guidance can be asked for images without."""
    measured = {"guidance_interval": [0.1, 2.0], "guidance_rescale": 0.5}
    assert Sampling.suited(**measured, guidance=1.0) == Sampling()
    assert Sampling.suited(**measured, guidance=2.0).guidance_rescale == 0.5


@pytest.mark.parametrize(("wrong", "words"), [
    ({"sampler": "dmp"}, r"sampler = 'dmp' is unknown; possible: ddpm, ddim, euler, heun, dpm-solver\+\+, "),
    ({"spacing": "even"}, "spacing = 'even' is unknown; possible: uniform"),
    ({"variance": "tiny"}, "variance = 'tiny' is unknown; possible: small, large, reverse-diffusion, learned"),
    ({"steps": 0}, "steps = 0"), ({"eta": 1.5, "sampler": "ddim"}, "eta = 1.5: must be from 0 to 1"),
    ({"eta": 0.5}, r"eta = 0.5 applies to sampler ddim only, and the sampler is dpm-solver\+\+"),
    ({"guidance": 2.0, "guidance_interval": (2.0, 1.0)}, r"guidance_interval = \[2.0, 1.0\] is empty"),
    ({"guidance_interval": (0.1, 1.0)}, r"guidance_interval = \(0.1, 1.0\) applies to guidance other than 1 only"),
    ({"guidance": 2.0, "guidance_rescale": 1.5}, "guidance_rescale = 1.5: must be from 0 to 1"),
    ({"variance": "large"}, "variance = 'large' applies to sampler ddpm, predictor-corrector, predictor-"),
    ({"guidance": -1.0}, "guidance = -1.0"),
])  # fmt: skip
def test_choices_that_no_model_could_follow_are_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**wrong)


def test_the_light_table_of_names_is_that_of_the_functions() -> None:
    """`sampling` may not import torch; what it lists has to be what there is."""
    assert get_args(sampling.Sampler) == tuple(samplers.SAMPLERS)
    assert get_args(sampling.Spacing) == tuple(schedule.SPACINGS)
    assert get_args(sampling.Variance) == (*samplers.VARIANCES, "learned")
    for name, row in samplers.SAMPLERS.items():
        options = [each for each in inspect.signature(row.draw).parameters.values() if each.kind is each.KEYWORD_ONLY]
        assert {each.name for each in options} == {*sampling.used(name), "callback"}
        for each in options:
            if each.name != "callback":
                assert each.default == getattr(Sampling, each.name), f"{name}: {each.name}"


def test_the_page_of_samplers_is_what_the_table_gives() -> None:
    """After a change of a sampler or an option: `make docs`."""
    page = runpy.run_path(str(ROOT / "scripts/samplers_page.py"))["page"]
    assert (ROOT / "docs/samplers.md").read_text() == page()


def test_choices_for_several_samplers_are_cut_to_the_one_asked_for() -> None:
    measured = {"sampler": "ddim", "eta": 0.5, "steps": 4, "variance": "small"}
    assert Sampling.suited(**measured) == Sampling(sampler="ddim", eta=0.5, steps=4)
    assert Sampling.suited(**measured | {"sampler": "ddpm"}) == Sampling(sampler="ddpm", steps=4)
