"""What `dvc metrics` compares: only scores that were taken alike stand beside each other."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ddpm import files
from ddpm.stages import evaluate

ROOT = Path(__file__).parents[2]
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
    files.write_json(evaluate.SCORES, evaluate.comparable(metrics(3.0, 2000)))
    sh("git", "add", "-A")
    sh("git", "commit", "-qm", "first")
    (path,) = declared
    return str(path)


def test_alike_scores_are_subtracted_and_others_never_meet(repository: str) -> None:
    name = "classifier-1a2b3c4d ref-5e6f7a8b n2000"
    files.write_json(evaluate.SCORES, evaluate.comparable(metrics(2.5, 2000)))
    alike = json.loads(sh("dvc", "metrics", "diff", "--json"))[repository]
    assert alike == {f"{name}.fid": {"old": 3.0, "new": 2.5, "diff": -0.5}}
    files.write_json(evaluate.SCORES, evaluate.comparable(metrics(2.5, 5000)))
    unlike = json.loads(sh("dvc", "metrics", "diff", "--json"))[repository]
    assert unlike[f"{name}.fid"] == {"old": 3.0, "new": None}
    assert unlike[f"{name.replace('n2000', 'n5000')}.fid"] == {"old": None, "new": 2.5}
    assert not [change for change in unlike.values() if "diff" in change]
