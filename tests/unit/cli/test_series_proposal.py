"""Parameters that suit a table, written into params.yaml, and back again for images."""

from pathlib import Path

import numpy as np
import pytest

from ddpm.cli import proposal, series_proposal
from ddpm.common import yaml_file
from ddpm.config import params, presets
from ddpm.data.series import survey
from ddpm.data.survey import Survey
from tests.support import prices

ROOT = Path(__file__).parents[3]
MNIST = presets.text(ROOT / "presets/mnist.yaml")
PICTURES = Survey(500, (), {"a": 250, "b": 250}, 0, {(28, 28): 500}, {"L": 500}, {"PNG": 500}, False)


def parsed(text: str) -> params.Params:
    return params.parse(yaml_file.parse(text, "new"), "new")


@pytest.mark.parametrize("name", ["mnist", "quick", "dit", "edm", "cifar10"])
def test_any_preset_becomes_one_of_series_and_of_images_again(name: str, tmp_path: Path) -> None:
    text = presets.text(ROOT / f"presets/{name}.yaml")
    found = survey.survey(prices.write(tmp_path / "prices.csv", 3000, 4))
    changes = series_proposal.propose(found, parsed(text), "prices")
    made = proposal.in_text(text, changes)
    now = parsed(made)
    assert now.prepare.kind == "series"
    assert (now.prepare.window, now.prepare.layout, now.prepare.transform) == (64, "separate", "log-returns")
    assert (now.sample.clamp, now.train.flip, now.promote.min_class_skill) == (False, False, None)
    assert now.promote.name == "ddpm-prices"
    assert not series_proposal.propose(found, now, "prices"), "nothing is left to change"
    assert "rows of a window" in made
    assert "\n\nfeatures:" in made
    back = parsed(proposal.in_text(made, proposal.propose(PICTURES, now, "pictures")))
    assert (back.prepare.kind, back.prepare.resolution, back.sample.clamp) == ("images", 28, True)


def values(**columns: np.ndarray) -> str:
    days = np.datetime64("2020-01-01") + np.arange(len(next(iter(columns.values()))))
    rows = zip(days, *columns.values(), strict=True)
    return "\n".join([",".join(["date", *columns]), *(",".join(map(str, row)) for row in rows)])


@pytest.mark.parametrize(
    ("kind", "expected"), [("prices", "log-returns"), ("level", "differences"), ("noise", "none"), ("positive", "none")]
)
def test_the_transform_follows_from_the_values(kind: str, expected: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.standard_normal(2000)
    column = {
        "prices": np.exp(np.cumsum(0.01 * noise)), "level": np.cumsum(noise) - 50, "noise": noise,
        "positive": np.exp(noise),
    }[kind]  # fmt: skip
    (tmp_path / "t.csv").write_text(values(a=column))
    changes = series_proposal.propose(survey.survey(tmp_path / "t.csv"), parsed(MNIST), "t")
    assert {each.key: each.value for each in changes}["prepare.transform"] == expected


def test_columns_that_are_few_for_their_windows_stay_together(tmp_path: Path) -> None:
    found = survey.survey(prices.write(tmp_path / "prices.csv", 6000, 2))
    chosen = {each.key: each.value for each in series_proposal.propose(found, parsed(MNIST), "p")}
    assert (chosen["prepare.layout"], chosen["prepare.window"], chosen["prepare.stride"]) == ("joint", 64, 1)
    short = survey.survey(prices.write(tmp_path / "prices.csv", 700, 1))
    assert {e.key: e.value for e in series_proposal.propose(short, parsed(MNIST), "p")}["prepare.window"] == 16
