"""DVC's own tables and downloads, with the parameters, metrics and artifacts that the project declares."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ddpm.common import files

ROOT = Path(__file__).parents[3]
MAKE = """\
import json
from pathlib import Path
from ruamel.yaml import YAML
lr = YAML(typ="safe").load(Path("params.yaml"))["train"]["lr"]
Path("out/train/model").mkdir(parents=True, exist_ok=True)
Path("out/evaluate").mkdir(parents=True, exist_ok=True)
Path("out/train/model/config.json").write_text(str(lr))
scores = {"fid": 2.8 + lr, "is": 9.38765 - lr, "kid": 0.0162345 + lr, "rec": 0.701234 - lr, "mr": 1.01234 + lr}
Path("out/evaluate/scores.json").write_text(json.dumps({"k3fq": scores}))
"""
WHO = {f"GIT_{role}_{key}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def sh(*command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | WHO | {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": path, "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the project's parameters, metrics and artifacts, and one stage that makes the files at once."""
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    stage = {
        "cmd": f"{sys.executable} make.py", "deps": ["make.py", *(f"module_{number}.py" for number in range(40))],
        "params": ["diffusion", "net", "train", "sample", "evaluate"], "outs": ["out/train"],
        "metrics": declared["stages"]["evaluate"]["metrics"],
    }  # fmt: skip
    for name in stage["deps"]:
        files.write_text(Path(name), MAKE)
    files.write_text(Path("params.yaml"), (ROOT / "params.yaml").read_text())
    with Path("dvc.yaml").open("w") as file:
        YAML().dump({"stages": {"make": stage}, "artifacts": declared["artifacts"]}, file)
    sh("git", "init", "-q")
    sh("dvc", "init", "-q")
    sh("dvc", "repro", "-q")
    sh("git", "add", "-A")
    sh("git", "commit", "-qm", "first")
    return folder


def test_an_experiment_reads_well_at_80_columns_and_changes_one_line(repository: Path) -> None:
    before = Path("params.yaml").read_text().splitlines()
    sh("dvc", "exp", "run", "-q", "-S", "train.lr=0.0005")
    after = Path("params.yaml").read_text().splitlines()
    changed = [new.split("#")[0].strip() for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ["lr: 0.0005"]
    shown = sh("dvc", "exp", "show", "--no-pager", "--only-changed", "--drop", "out|src|Created|.*rec$|.*mr$")
    assert max(map(len, shown.splitlines())) <= 80, shown
    assert "…" not in shown
    for word in ("k3fq.fid", "k3fq.kid", "k3fq.is", "train.lr", "2.8005", "0.0005", "2.802", "0.002"):
        assert word in shown, shown
    for command in ("metrics show", "metrics diff", "params diff"):
        table = sh("dvc", *command.split())
        assert max(map(len, table.splitlines())) <= 80, table
    assert "train.lr" in table


def test_the_model_is_downloaded_by_its_name_from_the_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh("git", "tag", "-a", "-m", "version 1", "model@v1.0.0")
    monkeypatch.chdir(tmp_path)
    sh("dvc", "artifacts", "get", str(repository), "model")
    assert (tmp_path / "model" / "config.json").read_text() == "0.002"
