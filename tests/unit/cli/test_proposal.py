"""Parameters proposed for a set of images."""

from pathlib import Path

import pytest

from ddpm.cli import proposal
from ddpm.config import presets
from ddpm.data.survey import Survey

QUICK = presets.load(Path(__file__).parents[3] / "presets/quick.yaml")


@pytest.mark.parametrize(("invisible", "background", "proposed"), [(160, 0, 255), (160, 255, 0), (100, 0, None)])
def test_a_background_on_which_most_transparent_images_show_nothing_is_changed(
    invisible: int, background: int, proposed: int | None
) -> None:
    found = Survey(
        300, (), {"a": 300}, 0, {(8, 8): 300}, {"RGBA": 300}, {"PNG": 300}, False,
        transparent=200, invisible=invisible, background=background,
    )  # fmt: skip
    now = QUICK.model_copy(update={"prepare": QUICK.prepare.model_copy(update={"background": background})})
    values = {change.key: change.value for change in proposal.propose(found, now, "icons")}
    assert values.get("prepare.background") == proposed


def test_the_cost_of_a_proposal_is_that_of_its_training() -> None:
    image = {"resolution": 8, "channels": 1, "classes": ["a", "b"]}
    text = proposal.cost(QUICK, image)
    assert text.startswith("training: about ")
    assert "on cpu, 16,000 images at " in text
    assert text.endswith(" parameters")
    unsupported = QUICK.model_copy(update={"train": QUICK.train.model_copy(update={"precision": "tf32"})})
    assert "note: no training with these parameters here: train.precision = tf32 needs" in proposal.cost(
        unsupported, image
    )
