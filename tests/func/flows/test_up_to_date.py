"""Runs without work to do: the champion was made from this checkout's data, parameters, code and lock file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.config import params, presets
from flows import up_to_date
from tests.support.repositories import sh

NAME = "digits"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def clone(project: Path, template: Path) -> Path:
    """A project with tracked data and a champion made from it, as the current folder."""
    shutil.copytree(template, project, symlinks=True, dirs_exist_ok=True)
    (project / "src").mkdir()
    for name in ("src/code.py", "params.yaml", "dvc.yaml", "requirements.lock"):
        (project / name).write_text(f"# {name}\n")
    (project / "dvc.yaml").write_text("stages: {}\n")
    connection = tracking.client()
    connection.create_registered_model(NAME)
    made_from = tracking.lineage()
    number = connection.create_model_version(NAME, (project / "model").as_uri(), tags=made_from).version
    connection.set_registered_model_alias(NAME, "champion", number)
    return project


def said() -> str:
    return up_to_date.reason_to_skip(NAME, lambda line: None)


def test_the_champions_inputs_need_no_run_and_any_change_does(clone: Path) -> None:
    assert not up_to_date.FINISHED.exists()
    assert said() == "data, parameters and code are those of the champion, digits version 1"
    for path in ("params.yaml", "src/code.py", "requirements.lock", "dvc.yaml"):
        kept = (clone / path).read_text()
        (clone / path).write_text(kept + "# another\n")
        assert said() == "", path
        (clone / path).write_text(kept)
    (clone / "data" / "b.txt").write_text("b")
    assert said() == ""
    sh(clone, "rm", "-rf", "data")  # as in a fresh clone: data.dvc says which they will be
    assert said().endswith("version 1")


def test_files_edited_during_a_run_prevent_registration(clone: Path) -> None:
    """Only results, data.dvc and comments in params.yaml may change during a run."""
    quick = presets.text(ROOT / "presets" / "quick.yaml")
    (clone / "params.yaml").write_text(quick)
    settings, before = params.load(), up_to_date.fingerprint()
    for path, text in (("params.yaml", quick + "# a remark\n"), ("dvc.lock", "made"), ("data.dvc", "outs: []\n")):
        (clone / path).write_text(text)
    up_to_date.require_unedited(before, settings)
    for path in ("src/code.py", "requirements.lock", "dvc.yaml"):
        kept = (clone / path).read_text()
        (clone / path).write_text(kept + "# another\n")
        with pytest.raises(RuntimeError, match=f"^{path} changed during this run, so nothing is registered"):
            up_to_date.require_unedited(before, settings)
        (clone / path).write_text(kept)
    (clone / "params.yaml").write_text(quick.replace("  seed: 0", "  seed: 1"))
    with pytest.raises(RuntimeError, match=r"^params.yaml changed"):
        up_to_date.require_unedited(before, settings)


def test_a_candidate_that_was_not_promoted_does_not_count_as_champion(clone: Path) -> None:
    """The champion or the last finished run decides; a registered version alone does not."""
    tracking.client().delete_registered_model_alias(NAME, "champion")
    assert said() == ""


def test_a_finished_run_is_not_repeated_until_an_input_or_a_result_changes(clone: Path) -> None:
    """Without a champion. A run may change results and data.dvc."""
    tracking.client().delete_registered_model_alias(NAME, "champion")
    before = up_to_date.fingerprint()
    (clone / "dvc.lock").write_text("schema: '2.0'\n")
    up_to_date.record_finished(before)
    assert said() == "data, parameters and code are those of the last finished run"
    for path in ("dvc.lock", "data.dvc", "params.yaml"):
        kept = (clone / path).read_text()
        (clone / path).write_text(kept + "# another\n")
        assert said() == "", path
        (clone / path).write_text(kept)


def test_a_run_continues_if_the_champion_is_unknown(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    heard: list[str] = []
    assert up_to_date.reason_to_skip(NAME, heard.append) == ""
    assert "does not answer" in heard[0]


def test_a_checkout_without_a_record_creates_none(clone: Path) -> None:
    shutil.rmtree(clone / ".state" / "mlflow")
    assert said() == ""
    assert not (clone / ".state" / "mlflow").exists()


def test_the_check_imports_no_torch(clone: Path) -> None:
    program = (
        "import sys\nfrom flows import up_to_date\n"
        f"print(up_to_date.reason_to_skip({NAME!r}, print))\nprint('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == [
        "data, parameters and code are those of the champion, digits version 1",
        "False",
    ]
    assert registry.status(NAME).champion is not None
