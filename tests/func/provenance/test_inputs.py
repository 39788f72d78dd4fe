"""Inputs of a stage edited while it runs: refused at its end, and nothing is left that DVC would record."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddpm.provenance import inputs

DVC_YAML = """\
stages:
  edited:
    cmd: exec python -m edited
    deps: [data, code, edited.py]
    params: [train, sample.count, {other.yaml: [kept]}]
    outs: [out/edited]
    metrics: [{out/scores.json: {cache: false}}]
"""
STAGE = """\
import os
from pathlib import Path
from ddpm import stages

def main():
    Path("out/edited").mkdir(parents=True)
    Path("out/edited/a.txt").write_text("made")
    Path("out/scores.json").write_text("{}")
    if os.environ.get("EDIT"):
        Path("params.yaml").write_text(Path("params.yaml").read_text().replace("lr: 1", "lr: 2"))

if __name__ == "__main__":
    stages.run(main)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage with inputs of every kind and its outputs of an earlier run."""
    contents = {
        "dvc.yaml": DVC_YAML,
        "edited.py": STAGE,
        "params.yaml": "train: {lr: 1, deep: {a: 1}}\nsample: {count: 4, seed: 0}\n",
        "other.yaml": "kept: 1\nfree: 1\n",
        "code/net.py": "x = 1\n",
        "code/deep/loss.py": "y = 1\n",
        "data/cats/1.png": "picture",
        "out/edited/a.txt": "made",
        "out/scores.json": "{}",
    }
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


EDITS = {
    "a parameter": ("params.yaml", "train: {lr: 2, deep: {a: 1}}\nsample: {count: 4}\n", "train.lr was 1, now 2"),
    "a nested one": ("params.yaml", "train: {lr: 1, deep: {a: 5}}\nsample: {count: 4}\n", "train.deep.a was 1"),
    "a new one": ("params.yaml", "train: {lr: 1, deep: {a: 1}, b: 3}\nsample: {count: 4}\n", "train.b was missing"),
    "one of another file": ("other.yaml", "kept: 2\n", "other.yaml: kept was 1, now 2"),
    "code": ("code/deep/loss.py", "y = 2\n", "code/deep/loss.py was edited"),
    "new code": ("code/more.py", "", "code/more.py was added"),
    "an image": ("data/cats/1.png", "other", "data/cats/1.png was edited"),
    "a new image": ("data/dogs/1.png", "dog", "data/dogs/1.png was added"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_while_the_stage_runs_is_refused_and_its_outputs_are_removed(folder: Path, what: str) -> None:
    name, text, said = EDITS[what]
    (folder / name).parent.mkdir(exist_ok=True)
    with pytest.raises(inputs.InputsChangedError, match=said), inputs.unchanged("edited"):
        (folder / name).write_text(text)
    assert not (folder / "out/edited").exists()
    assert not (folder / "out/scores.json").exists()


def test_a_removed_input_is_named(folder: Path) -> None:
    with pytest.raises(inputs.InputsChangedError, match=r"data/cats/1.png was removed"), inputs.unchanged("edited"):
        (folder / "data/cats/1.png").unlink()


def test_what_the_stage_does_not_depend_on_may_change_and_an_edit_may_be_taken_back(folder: Path) -> None:
    with inputs.unchanged("edited"):
        (folder / "params.yaml").write_text("# a comment\ntrain: {lr: 1, deep: {a: 1}}\nsample: {count: 4, seed: 9}\n")
        (folder / "other.yaml").write_text("kept: 1\nfree: 2\n")
        (folder / "code/net.py").write_text("x = 2\n")
        (folder / "code/net.py").write_text("x = 1\n")
        (folder / "code/__pycache__").mkdir()
        (folder / "code/__pycache__/net.pyc").write_text("compiled")
        (folder / "data/.DS_Store").write_text("of a file manager")
    assert (folder / "out/edited/a.txt").exists()


def test_the_stage_s_own_error_is_not_hidden(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), inputs.unchanged("edited"):
        1 / ((folder / "other.yaml").write_text("") or 0)


def test_code_that_was_edited_while_the_process_was_starting_is_refused(folder: Path) -> None:
    edited = (folder / "code/net.py").stat().st_mtime
    with inputs.unchanged("edited", started=edited + 0.01):
        pass
    started = inputs.unchanged("edited", started=edited - 0.01)
    with pytest.raises(inputs.InputsChangedError, match="was edited while stage edited was starting"), started:
        pass
    future = time.time() + 3600  # of a machine whose clock is ahead
    for path in [folder / "edited.py", *(folder / "code").rglob("*.py")]:
        os.utime(path, (future, future))
    with inputs.unchanged("edited", started=edited - 0.01):
        pass


def test_the_start_of_a_process_is_known(tmp_path: Path) -> None:
    before = time.time()
    program = "from ddpm.runtime.process_start import process_start; print(process_start())"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert before - 0.05 <= float(done.stdout) <= time.time()


def test_dvc_records_nothing_of_a_stage_whose_parameters_were_edited(folder: Path) -> None:
    """Real DVC: the run fails, is stale afterwards, and is not in the run cache for the new parameters."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )

    dvc("init", "--no-scm")
    failed = dvc("repro", EDIT="yes")
    assert failed.returncode == 255
    assert "train.lr was 1, now 2" in failed.stderr
    assert not (folder / "out/edited").exists()
    again = dvc("repro")
    assert again.returncode == 0, again.stderr
    assert "Running stage 'edited'" in again.stdout  # not restored
    assert "lr: 2" in (folder / "dvc.lock").read_text()
