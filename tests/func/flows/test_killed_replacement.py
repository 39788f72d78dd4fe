"""A killed replacement of data is undone by its journal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.data import replace
from flows.tasks import data_update
from tests.support.repositories import beside

Make = Callable[..., Path]


def journal(pointer: str | None, *, present: bool) -> None:
    """Write the journal as a replacement does before its first rename."""
    Path(".state").mkdir(exist_ok=True)
    replace.JOURNAL.write_text(json.dumps({"pointer": pointer, "present": present}))


def test_a_killed_replacement_is_undone_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between its two renames: the old data are moved away, and DVC would read data.incoming.dvc as a stage."""
    monkeypatch.chdir(tmp_path)
    for folder in (".state/data.before", "data.incoming"):
        Path(folder).mkdir(parents=True)
    Path(".state/data.before/a.png").write_text("old")
    Path("data.dvc").write_text("the old pointer")
    Path("data.incoming.dvc").write_text("the new pointer")
    journal("the old pointer", present=True)
    said: list[str] = []
    data_update.recover(said.append)
    assert Path("data/a.png").read_text() == "old"
    assert Path("data.dvc").read_text() == "the old pointer"
    assert sorted(path.name for path in Path().iterdir()) == [".state", "data", "data.dvc"]
    assert beside(Path()) == []
    assert "was killed" in said[0]


def test_data_chosen_after_the_kill_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data.dvc differs from the one that the killed update found, so it is not replaced."""
    monkeypatch.chdir(tmp_path)
    for folder in (".state/data.before", "data"):
        Path(folder).mkdir(parents=True)
    Path("data/a.png").write_text("chosen")
    chosen = "outs:\n- md5: 22.dir\n  size: 9\n  nfiles: 3\n  path: data\n"
    journal(chosen.replace("22", "11"), present=True)
    Path("data.dvc").write_text(chosen)
    data_update.recover(lambda line: None)
    assert Path("data.dvc").read_text() == chosen
    assert Path("data/a.png").read_text() == "chosen"
    assert beside(Path()) == []


@pytest.mark.parametrize(
    "left", ["", "outs:\n- md5: 22.d", "outs:\n- md5: 22.dir\n  size: 0\n  path: data.incoming\n", "outs: [\n"]
)
def test_a_partial_pointer_and_an_empty_version_are_undone(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of data.dvc after a kill while DVC writes it, and after an update from an empty source."""
    monkeypatch.chdir(tmp_path)
    Path("data.incoming.dvc").write_text(left)
    Path("data.dvc").write_text("before")
    data_update.recover(lambda line: None)
    assert Path("data.dvc").read_text() == "before"
    assert beside(Path()) == []


@pytest.mark.parametrize("renamed", [False, True])
def test_where_there_were_no_data_a_killed_swap_leaves_none(
    renamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that `dvc pull`, for example, fetched after the kill are not those of the swap."""
    monkeypatch.chdir(tmp_path)
    Path("data.dvc").write_text("the pointer")
    Path("data").mkdir()
    if not renamed:
        Path("data.incoming").mkdir()
    journal("the pointer", present=False)
    data_update.recover(lambda line: None)
    assert Path("data").exists() == (not renamed)
    assert beside(Path()) == []
