"""`ddpm compare` on real checkpoints: equal seeds, the scores of an evaluation, and invalid requests."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ddpm.cli import app
from ddpm.common import files
from ddpm.common.units import score_number
from ddpm.config import params
from ddpm.model import checkpoint
from ddpm.report.model_comparison import rms
from ddpm.sampling import generate
from tests.support import tiny
from tests.support.changed_params import write_quick_params
from tests.support.comparison_context import SCORED

PRESET = Path(__file__).parents[3] / "presets/quick.yaml"


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


@pytest.fixture
def folders(project: Path) -> list[Path]:
    """Three checkpoints; the first is that of the evaluation under out/."""
    write_quick_params(steps=3, batch=10)
    found = [tiny.random_checkpoint(Path(name)) for name in ("first", "second", "third")]
    for number, folder in enumerate(found):
        weights = files.read_tensors(folder / checkpoint.WEIGHTS)
        files.write_tensors(folder / checkpoint.WEIGHTS, {k: (1 - 0.1 * number) * v for k, v in weights.items()})
    own = {"weights_sha256": files.sha256_file(found[0] / checkpoint.WEIGHTS)}
    files.write_json(Path("out/evaluate/metrics.json"), SCORED | {"conditions": SCORED["conditions"] | own})
    return found


def test_three_checkpoints_are_drawn_from_equal_seeds_with_their_scores(folders: list[Path]) -> None:
    said = compare("first", "second", "third", "--count", "6", "--seed", "3", "--out", "page.html")
    assert said.exit_code == 0, said.output
    assert "6 images of each of first, second, third are in page.html" in said.stdout
    text = Path("page.html").read_text()
    sampling = params.load().sample.sampling
    drawn = [generate.generate(checkpoint.load(each), 6, sampling, seed=3) for each in folders]
    largest = re.findall(r'data-name="Largest difference">([^<]+)</td><td data-name="Equal images">', text)
    assert largest == [score_number(float(rms(drawn[0], each).max())) for each in drawn[1:]]
    assert re.search(r'FID .*?<td data-name="first">3\.21 ± [\d.]+</td><td></td><td></td>', text)
    assert all(checkpoint.load(each).sha256 in text for each in folders)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first"], "nothing to compare first with"),
        (["first", "second", "first"], "a model is named twice"),
        (["first", "elsewhere"], "elsewhere is not a model"),
        (["first", "second", "--count", "501"], "must be at most 500"),
        (["first", "second", "--out", "page.png"], "ends with .html"),
    ],
)
def test_what_cannot_be_compared_is_refused(folders: list[Path], arguments: list[str], said: str) -> None:
    found = compare(*arguments)
    assert (found.exit_code, said in found.stderr) == (1, True), found.output
    assert not list(Path().glob("*.html"))
