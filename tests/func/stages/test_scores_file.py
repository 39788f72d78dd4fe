"""Scores in `dvc metrics`: only those measured under equal conditions are compared."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ddpm.common import files
from ddpm.evaluation import score_folder
from ddpm.stages import evaluate

ROOT = Path(__file__).parents[3]
CONDITIONS = {
    "extractor": "classifier",
    "extractor_sha256": "1a2b3c4d" * 8,
    "resize": "none",
    "reference_sha256": "5e6f7a8b" * 8,
}


def metrics(fid: float, count: int) -> dict[str, Any]:
    return {
        "fid": fid,
        "kid_subsets": [0.1],
        "floors": {"fid": {"heldout": 1.0}},
        "memorisation": {"exact_copies": 0, "near_copies": 3, "flagged": False},
        "conditions": CONDITIONS | {"count": count},
    }


def sh(*command: str) -> str:
    who = {
        f"GIT_{role}_{part}": "somebody@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | who | {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository under git and DVC with committed scores, whose metrics are those of dvc.yaml; their file."""
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["metrics"]
    monkeypatch.chdir(tmp_path)
    sh("git", "init", "-q")
    sh("dvc", "init", "-q")
    with Path("dvc.yaml").open("w") as file:
        YAML().dump({"metrics": declared}, file)
    files.write_json(evaluate.SCORES, score_folder.comparable(metrics(3.0, 2000)))
    sh("git", "add", "-A")
    sh("git", "commit", "-qm", "first")
    (path,) = declared
    return str(path)


def test_alike_scores_are_subtracted_and_others_never_meet(repository: str) -> None:
    (name,) = score_folder.comparable(metrics(3.0, 2000))
    files.write_json(evaluate.SCORES, score_folder.comparable(metrics(2.5, 2000)))
    alike = json.loads(sh("dvc", "metrics", "diff", "--json"))[repository]
    assert alike == {f"{name}.fid": {"old": 3.0, "new": 2.5, "diff": -0.5}}
    files.write_json(evaluate.SCORES, score_folder.comparable(metrics(2.5, 5000)))
    unlike = json.loads(sh("dvc", "metrics", "diff", "--json"))[repository]
    assert unlike[f"{name}.fid"] == {"old": 3.0, "new": None}
    (other,) = score_folder.comparable(metrics(3.0, 5000))
    assert other != name
    assert unlike[f"{other}.fid"] == {"old": None, "new": 2.5}
    assert not [change for change in unlike.values() if "diff" in change]


CHANGED = {"extractor": "own", "extractor_sha256": "9" * 64, "resize": "legacy", "reference_sha256": "9" * 64,
           "reference_count": 9, "inception_score_splits": 9}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_every_condition_of_measuring_tells_scores_apart(name: str) -> None:
    before, after = metrics(3.0, 2000), metrics(3.0, 2000)
    after["conditions"] = after["conditions"] | {name: CHANGED[name]}
    assert score_folder.comparable(before).keys() != score_folder.comparable(after).keys()
    after["conditions"] = before["conditions"] | {"steps": 9, "weights_sha256": "9" * 64}
    assert score_folder.comparable(before).keys() == score_folder.comparable(after).keys(), (
        "these are what scores compare"
    )


def test_a_line_of_dvc_fits_a_terminal_of_80_columns(repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    scores = {"kid": 0.0162345, "inception_score": 9.38765, "recall": 0.701234, "precision": 0.64}
    scores["memorisation_ratio"] = 1.01234
    files.write_json(evaluate.SCORES, score_folder.comparable(metrics(2.83123, 2000) | scores))
    for command in ("show", "diff"):
        shown = sh("dvc", "metrics", command)
        assert max(map(len, shown.splitlines())) <= 80, shown
        for name, value in (("fid", "2.83"), ("is", "9.38"), ("kid", "0.016"), ("rec", "0.701"),
                            ("mr", "1.01")):  # fmt: skip
            assert f".{name}" in shown
            assert value in shown
    table = sh("dvc", "exp", "show", "--csv").splitlines()[0].split(",")
    assert [name.partition(".")[2] for name in table if "." in name][:5] == ["fid", "is", "kid", "rec", "mr"]
