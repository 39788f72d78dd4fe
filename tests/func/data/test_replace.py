"""The journal of a replacement: the process dies at every step, of the swap and of its recovery."""

import os
import shutil
from pathlib import Path

import pytest

from ddpm.data import pointer, replace

TEXT = "outs:\n- md5: {}.dir\n  size: 9\n  nfiles: 1\n  path: data\n"


class DeathError(BaseException):
    """The end of the process."""


class Deaths:
    """Counts calls that change files, and dies at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        self.count, self.step = 0, step
        for owner, name in ((os, "replace"), (Path, "unlink"), (shutil, "rmtree")):
            patch.setattr(owner, name, self._dying(getattr(owner, name)))

    def _dying(self, real: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            self.count += 1
            if self.count == self.step:
                raise DeathError
            return real(*arguments, **options)  # type: ignore[operator]

        return call


def prepared(folder: Path, old: str, *, present: bool) -> None:
    """The state before a swap to the embedded set `new`."""
    (folder / "assets/datasets").mkdir(parents=True)
    (folder / "assets/datasets/new.yaml").write_text(TEXT.format("new"))
    (folder / "data.dvc").write_text(old)
    for name in ("data", "data.incoming") if present else ("data.incoming",):
        (folder / name).mkdir()
        (folder / name / "content").write_text("old" if name == "data" else "new")


def state(folder: Path) -> tuple[str, str | None, list[str]]:
    content = folder / "data" / "content"
    left = sorted(path.relative_to(folder).as_posix() for path in [*folder.glob("data*"), *folder.glob(".state/*")])
    return (folder / "data.dvc").read_text(), content.read_text() if content.exists() else None, left


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("same", [False, True], ids=["other", "same pointer"])
def test_death_at_every_step_leaves_the_old_data_or_the_new(
    present: bool, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = TEXT.format("new" if same else "old")
    names = ["data", "data.dvc"] if present else ["data.dvc"]
    undone = old, "old" if present else None, names
    outcomes = set()
    for step in range(1, 100):
        for again in range(1, 100):
            folder = tmp_path / f"{step} {again}"
            folder.mkdir()
            monkeypatch.chdir(folder)
            prepared(folder, old, present=present)
            with monkeypatch.context() as patch, pytest.MonkeyPatch.context() as inner:
                swap = Deaths(patch, step)
                died = _dies(lambda: replace.swap("new", is_embedded=True))
                patch.undo()
                recovery = Deaths(inner, again)
                _dies(replace.recover)
            replace.recover()
            pointer_now, content, left = state(folder)
            assert (pointer_now, content, left) == undone or (pointer_now, content, left) == (
                TEXT.format("new"), "new", ["data", "data.dvc"],
            )  # fmt: skip
            outcomes.add(content)
            if recovery.count < again:
                break
        if not died:
            break
    assert not died
    assert swap.count >= (5 if present else 4)
    assert outcomes == {"old" if present else None, "new"}


def _dies(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except DeathError:
        return True
    return False


def test_the_embedded_sets_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert pointer.embedded() == ["digits", "mnist", "oil"]
    assert {pointer.embedded_hash(name) for name in pointer.embedded()} >= {pointer.version().md5}


@pytest.mark.parametrize("order", ["deps first", "outs first"])
def test_another_output_changes_nothing_else(order: str) -> None:
    parts = ["deps:\n- md5: 11\n  path: ../a\n", "outs:\n# images\n- path: data\n  md5: 22\n"]
    text = "".join(parts if order == "deps first" else reversed(parts))
    renamed = pointer.with_output(text, Path("data.incoming"))
    assert renamed == text.replace("path: data\n", "path: data.incoming\n")
