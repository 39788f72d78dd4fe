"""Series from a file of prices to a registered model that generates returns, and its report."""

import csv
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app, review
from ddpm.common import files
from ddpm.config import presets
from ddpm.data.prepared import load as load_prepared
from ddpm.evaluation import feature_drift
from ddpm.model import checkpoint
from ddpm.report import page
from ddpm.restore import tasks
from ddpm.stages import drift, evaluate, features, prepare, sample, train
from ddpm.tracking import store
from tests.support import prices

PRESET = Path(__file__).parents[3] / "presets/series-quick.yaml"
SHORT: dict[str, dict[str, Any]] = {
    "prepare": {"window": 32, "stride": 4},
    "net": {"channels": 8, "head_channels": 8, "multipliers": [1, 2], "patch": 2},
    "train": {"images": 6400, "batch": 64, "warmup": 640, "ema": 1000, "log_every": 1600, "sample_every": 6400,
              "checkpoint_every": 6400, "optimizer": "muon"},
    "sample": {"count": 120, "batch": 120, "strip": 3},
    "evaluate": {"splits": 2, "blocks": 2, "neighbours": 2, "grid": 5},
}  # fmt: skip


def write_params() -> None:
    settings = presets.values(PRESET)
    for section, values in SHORT.items():
        settings[section].update(values)
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(settings, file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after all stages; read only."""
    folder = tmp_path_factory.mktemp("series")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prices.write(Path("data/prices.csv"), 3000)
        write_params()
        for stage in (prepare, features, train, sample, evaluate):
            stage.main()
    return folder


@pytest.fixture
def here(finished: Path, project: Path) -> Path:
    """The current folder, with the outputs of the stages."""
    shutil.copytree(finished / "out", project / "out")
    shutil.copy(finished / "params.yaml", project / "params.yaml")
    return project


@pytest.mark.slow
def test_scores_lie_between_those_of_real_series_and_of_noise(here: Path) -> None:
    metrics, data = files.read_json(evaluate.METRICS), load_prepared()
    fid = metrics["floors"]["fid"]
    assert fid["copy"] < fid["heldout"] < fid["shuffled"]
    assert metrics["fid"] < fid["noise"]
    assert metrics["conditions"]["extractor"] == "kernels"
    assert metrics["memorisation"]["exact_copies"] == 0
    assert 0.5 < metrics["memorisation_ratio"] < 2
    assert set(metrics["facts"]["sets"]) == {"generated", "real", "heldout", "noise", "shuffled"}
    assert metrics["facts_deviation"] > metrics["floors"]["facts_deviation"]["heldout"] / 10
    drawn = np.load("out/sample/images.npy")
    assert (drawn.shape, drawn.dtype) == ((120, 32, 1), np.float32)
    assert data.series is not None
    assert 0.5 < drawn.std() / data.series.std[0] < 1.5


@pytest.mark.slow
def test_the_page_has_paths_memory_and_tails(here: Path) -> None:
    made = page.load(None)
    assert {"memory", "tails", "fans", "samples"} <= {each.name for each in made.pictures["images"]}
    assert "kurtosis" in made.tables["Stylised facts"]
    html = page.render(made)
    assert "training and" in html
    assert "held-out windows" in html
    size = Image.open("out/evaluate/pictures/memory.png").size
    assert size[0] > 2 * size[1]


@pytest.mark.slow
def test_a_registered_model_generates_returns(here: Path) -> None:
    metrics = files.read_json(evaluate.METRICS)
    config = files.read_json(Path("out/train/model/config.json"))
    run_id = tracking.complete(config["digest"], {"fid": metrics["fid"]}, tracking.data_record_files())
    tracking.record_dataset(run_id)
    number = registry.register(Path("out/train/model"), "prices", run_id, metrics)
    facts = registry.verify("prices", number)
    assert (facts["shape"][1:], facts["dtype"]) == ([32, 1], "float32")
    mlflow.set_tracking_uri(store.tracking_uri())
    model = mlflow.pyfunc.load_model(f"models:/prices/{number}")
    drawn = model.predict(pd.DataFrame({"label": [-1] * 3}), params={"seed": 5})
    again = model.predict(pd.DataFrame({"label": [-1]}), params={"seed": 7})
    assert drawn.shape == (3, 32, 1)
    np.testing.assert_allclose(drawn[2], again[0], atol=1e-6)
    assert model.predict(pd.DataFrame({"label": [-1]}), params={"format": "png"})[0].startswith("iVBOR")


@pytest.mark.slow
def test_samples_as_a_table(here: Path) -> None:
    words = ["sample", "--model", "out/train/model", "--count", "5", "--steps", "4"]
    done = CliRunner().invoke(app, [*words, "--out", "made.csv"])
    assert done.exit_code == 0, done.output
    CliRunner().invoke(app, [*words, "--out", "made.npy"])
    with Path("made.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["series", "row", "value"]
    found = np.array([float(row["value"]) for row in rows]).reshape(5, 32, 1)
    np.testing.assert_allclose(found, np.load("made.npy"), rtol=1e-6)
    assert CliRunner().invoke(app, [*words, "--out", "made.png"]).exit_code == 0
    assert Image.open("made.png").size[0] > 100


@pytest.mark.slow
def test_later_prices_are_compared_with_the_champion_s(here: Path) -> None:
    for path in tracking.data_record_files():
        target = Path("record") / path.relative_to("out")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    prices.write(Path("data/prices.csv"), 3000)
    prepare.main()
    same = feature_drift.compare(Path("record"), drift.PREPARED, "cpu")
    assert same.verdict(0.0) == "none"
    content = Path("data/prices.csv").read_text().splitlines()
    head, rows = content[0], [line.split(",") for line in content[1:]]
    louder = [[day, *(f"{100 * (float(price) / 100) ** 3:.6g}" for price in row)] for day, *row in rows]
    Path("data/prices.csv").write_text("\n".join([head, *map(",".join, louder)]))
    prepare.main()
    found = feature_drift.compare(Path("record"), drift.PREPARED, "cpu")
    assert {"volatility", "features"} <= set(found.effects())
    assert found.verdict(0.15) == "beyond"


@pytest.mark.slow
def test_what_has_no_meaning_for_series_is_refused(here: Path) -> None:
    config = checkpoint.read_config(Path("out/train/model"))
    with pytest.raises(ValueError, match="restoration is for models of images; this one generates series"):
        tasks.plan(config, "denoise", noise="0.1")
    with pytest.raises(ValueError, match="people do not tell series apart"):
        review.open_session(10, 0)
