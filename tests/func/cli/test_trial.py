"""Arguments of `ddpm try` and `ddpm study`: refused before any work, completed by the shell."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm.cli import app, trial
from ddpm.common import files
from ddpm.trials import records
from ddpm.trials.records import Record

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["try"], 2, "parameters to change, or one of --start"),
        (["try", "train.lr=0.1", "--list"], 2, "parameters to change, or one of --start"),
        (["try", "--keep", "a", "--drop", "b"], 2, "parameters to change, or one of --start"),
        (["try", "train.lrr=0.1"], 1, "did you mean lr?"),
        (["try", "train.lr=0.1,nought"], 1, "train.lr = 'nought'"),
        (["try", "train.lr=0.1", "--budget", "0"], 1, "above 0 and at most 1"),
        (["try", "train.lr=0.1", "--seeds", "0"], 2, "greater than or equal to"),
        (["try", "train.lr=0.1", "--out", "page.pdf"], 1, "ends with .html"),
        (["try", "--keep", "../elsewhere"], 1, "is not one name of letters"),
        (["try", "--drop", "nobody"], 1, "is not a trial. Trials here: none yet"),
        (["study", "--seeds", "1"], 2, "greater than or equal to"),
        (["study", "--seeds", "2", "--budget", "2"], 1, "above 0 and at most 1"),
    ],
)
def test_invalid_requests_leave_nothing_behind(project: Path, arguments: list[str], status: int, said: str) -> None:
    for name in ("params.yaml", "dvc.yaml", "data.dvc"):
        Path(name).write_bytes((ROOT / name).read_bytes())
    Path("flows").mkdir()
    Path("flows/__init__.py").touch()
    found = CliRunner().invoke(app, arguments)
    assert (found.exit_code, said in " ".join(found.output.split())) == (status, True), found.output
    assert not list(Path(".state/trials").glob("*/"))
    assert not Path(".dvc").exists()


def test_another_folder_is_no_project(project: Path) -> None:
    found = CliRunner().invoke(app, ["try", "--list"])
    assert found.exit_code == 1
    assert "is not a project folder" in found.output


def test_the_shell_completes_keys_and_names(project: Path) -> None:
    assert trial.keys("train.l") == []
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert trial.keys("train.l") == ["train.lr=", "train.label_dropout=", "train.log_every="]
    records.save(Record("lr-0.001-abcdef", {}, 0, 1.0, {}, "", ""))
    files.write_json(records.FOLDER / "queue.json", [])
    assert trial.names("lr") == ["lr-0.001-abcdef"]
    assert trial.names("x") == []
