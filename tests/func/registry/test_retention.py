"""Old versions go with their files; what an alias names stays whole, whatever is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ddpm import registry, tracking
from tests.func.registry.conftest import NAME

Make = Callable[..., int]


def sources() -> dict[int, Path]:
    return {each.number: Path(each.source.removeprefix("file://")) for each in registry.status(NAME).versions}


def test_an_aliased_version_and_its_files_are_never_deleted(make: Make) -> None:
    for digest in "abcde":
        make(digest)
    registry.promote(NAME, 1, why="first", expected_champion=None)
    registry.promote(NAME, 3, why="better", expected_champion=1)
    before = sources()
    assert registry.prune(NAME, 1, dry_run=True) == [2]
    assert sources() == before, "a dry run deletes nothing"
    assert registry.prune(NAME, 1) == [2]
    assert registry.prune(NAME, 0) == [4]
    assert registry.prune(NAME, 0) == []
    assert set(sources()) == {1, 3, 5}
    for number, folder in before.items():
        assert (folder / "MLmodel").is_file() is (number in {1, 3, 5})
    assert registry.rollback(NAME).target == 1, "what was champion before is still there to go back to"
    assert (registry.download(f"models:/{NAME}@champion") / "config.json").is_file()
    assert tracking.client().get_run(registry.version(NAME, 1).run_id).info.status == "FINISHED"


def test_files_that_another_version_has_as_well_stay(make: Make) -> None:
    make("a"), make("b")
    shared = registry.version(NAME, 1)
    tracking.client().create_registered_model("other")
    tracking.client().create_model_version("other", shared.source, shared.run_id)
    folder = sources()[1]
    assert registry.prune(NAME, 0) == [1]
    assert (folder / "MLmodel").is_file()


def test_killed_between_files_and_version_it_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-deleted version is not promoted because of an earlier check."""
    make("a"), make("b")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_model_version", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.prune(NAME, 0)
    assert not registry.version(NAME, 1).verified
    assert registry.prune(NAME, 0) == [1]
    assert set(sources()) == {2}


def test_a_negative_number_is_refused(make: Make) -> None:
    make("a")
    with pytest.raises(ValueError, match="must be 0 or more"):
        registry.prune(NAME, -1)
