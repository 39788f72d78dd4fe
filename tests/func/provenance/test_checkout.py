"""A stage runs the code of its own checkout or none, also in the temporary folders of DVC's experiments."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ddpm.provenance import checkout
from tests.func.cli.conftest import ROOT
from tests.support import forked
from tests.support.training_project import SMALL, prepare_project


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another checkout, as far as can be told from its source folder."""
    shutil.copytree(ROOT / "src", tmp_path / "other" / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "other"


def test_the_checkout_s_own_code_and_folders_without_code_pass(tmp_path: Path) -> None:
    checkout.require_own_code(ROOT)
    checkout.require_own_code(tmp_path)


def test_code_of_another_checkout_is_refused(other: Path) -> None:
    with pytest.raises(checkout.ForeignCodeError, match=str(other / "src/ddpm")):
        checkout.require_own_code(other)


ENTRIES = {
    "a stage": ["-m", "ddpm.stages.prepare"],
    "rescoring": ["-m", "ddpm.stages.rescore", "champion", "scores.json"],
    "the flow": ["-m", "flows"],
    "the command": ["-c", "from ddpm.cli import app; app()", "status"],
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_point_runs_in_another_checkout(other: Path, entry: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    done = forked.run([sys.executable, *ENTRIES[entry]], cwd=other, env=environment)
    assert done.returncode == 1
    assert "the loaded code is that of another folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_experiment_s_folder_is_told_from_any_other(tmp_path: Path) -> None:
    assert checkout.experiment_project(tmp_path / ".dvc/tmp/exps/standalone/tmpab12") == tmp_path
    assert checkout.experiment_project(tmp_path / ".dvc/tmp/exps/tmpab12") == tmp_path
    assert checkout.experiment_project(tmp_path / "exps/tmpab12") is None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project under git and DVC, with code of its own, that trains in seconds."""
    folder = tmp_path_factory.mktemp("experiments") / "project"
    prepare_project(folder, 400, SMALL | {"train": SMALL["train"] | {"images": 160}})
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML(typ="safe")
    stages = yaml.load((ROOT / "dvc.yaml").read_text())["stages"]
    with (folder / "dvc.yaml").open("w") as file:
        yaml.dump({"stages": {name: stages[name] for name in ("prepare", "train")}}, file)
    shutil.rmtree(folder / "out")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "add", "-q", "data")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-qm", "the project")
    return folder


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),  # as an editable install does
        "DVC_NO_ANALYTICS": "1",
    }
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Somebody", f"GIT_{who}_EMAIL": "somebody@example.org"}
    environment = {name: value for name, value in environment.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("how", "rate"), [("--temp", "0.0011"), ("--queue", "0.0012")])
def test_an_experiment_runs_what_was_queued_and_keeps_its_record_in_the_project(
    project: Path, how: str, rate: str
) -> None:
    """The queued code leaves a mark where it takes the project's state to be; by then the project has its old code."""
    stage, name = project / "src/ddpm/stages/train.py", f"try{how.strip('-')}"
    own = stage.read_text()
    (project / ".state/train").mkdir(parents=True, exist_ok=True)
    mark = f'    job.STATE.joinpath("ran-{name}").write_text(__file__)\n'
    stage.write_text(own.replace("    stop = StopRequest()\n", f"    stop = StopRequest()\n{mark}"))
    assert mark in stage.read_text()
    run(project, "dvc", "exp", "run", how, "--name", name, "-S", f"train.lr={rate}")
    stage.write_text(own)
    if how == "--queue":
        run(project, "dvc", "exp", "run", "--run-all")
    assert ".dvc/tmp/exps" in (project / f".state/train/ran-{name}").read_text()
    assert f"{name}," in run(project, "dvc", "exp", "show", "--csv")
    records = [path.read_text() for path in (project / ".state/tracking").glob("*/events.jsonl")]
    assert any(f'"train.lr": "{rate}"' in record for record in records)
    assert list((project / ".state/train").glob("*/step-*"))
    assert not (project / ".state").is_symlink()
