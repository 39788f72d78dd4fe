"""`ddpm preset`, and the command as a whole."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm.config import params, presets
from tests.func.cli.conftest import ROOT, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that presets need."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_the_list_says_what_each_is_for(folder: Path) -> None:
    listed = run("ddpm", "preset", cwd=folder).stdout
    for path in (ROOT / "presets").glob("*.yaml"):
        assert f"\n{path.stem} " in f"\n{listed}"


def test_a_preset_is_put_in_place_to_the_byte_and_the_difference_shown(folder: Path) -> None:
    shown = run("ddpm", "preset", "quick", "--dry-run", cwd=folder).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["prepare.resolution", "28", "8"] in lines
    assert not any(line[:1] == ["train.lr"] for line in lines)  # it does not differ
    assert (folder / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert "ddpm data use digits" in run("ddpm", "preset", "quick", cwd=folder).stdout
    assert (folder / "params.yaml").read_text() == presets.text(ROOT / "presets/quick.yaml")
    assert "already has the values of quick" in run("ddpm", "preset", "quick", cwd=folder).stdout


def test_a_broken_or_missing_file_is_replaced_and_a_broken_preset_is_not_used(folder: Path) -> None:
    (folder / "params.yaml").write_text("a: [")
    assert "is not valid and is replaced without comparison" in run("ddpm", "preset", "mnist", cwd=folder).stdout
    (folder / "params.yaml").write_text("train: 5\n'[/]': {a: 1}")  # no sections, and what looks like markup
    assert "[/].a" in run("ddpm", "preset", "mnist", "--dry-run", cwd=folder).stdout
    (folder / "params.yaml").unlink()
    run("ddpm", "preset", "mnist", cwd=folder)
    assert params.load(folder / "params.yaml")
    (folder / "presets/quick.yaml").write_text("prepare: {resolution: 3}")
    done = run("ddpm", "preset", "quick", cwd=folder, check=False)
    assert done.returncode == 1
    assert "presets/quick.yaml is not valid:" in done.stderr
    assert "prepare.resolution = 3: input should be greater than or equal to 4" in done.stderr
    assert (folder / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_an_unknown_preset_names_the_nearest(folder: Path) -> None:
    done = run("ddpm", "preset", "mnits", cwd=folder, check=False)
    assert (done.returncode, done.stderr) == (1, "error: preset mnits does not exist; did you mean mnist?\n")


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, ddpm.cli; print(*{'torch', 'mlflow', 'dvc', 'prefect', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    told = run("ddpm", "--help", cwd=ROOT).stdout
    assert all(name in told for name in ("data", "preset", "ddpm run"))


def test_a_traceback_is_shown_on_request_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_TRACEBACK", "1")
    assert "Traceback" in run("ddpm", "preset", "mnits", cwd=folder, check=False).stderr
