"""A registry on a real database, with versions made of tiny checkpoints."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ddpm import registry, tracking
from ddpm.registry.versions import VERIFIED_TAG
from tests.support import machines, tiny
from tests.support.machines import Start
from tests.support.records import DIGEST

NAME = "digits"
EVIDENCE = {"fid": 30.0, "conditions": {"sampler": "ddim", "steps": 4, "spacing": "uniform", "guidance": 1.0}}


@pytest.fixture
def run_id(project: Path) -> str:
    return tracking.complete(DIGEST, {"fid": 30.0})


@pytest.fixture
def make(run_id: str, tmp_path: Path) -> Callable[..., int]:
    """Registers a checkpoint of its own for every digest; a `trusted` one counts as verified without the seconds."""

    def make(digest: str, *, trusted: bool = True) -> int:
        config = {**copy.deepcopy(tiny.CONFIG), "digest": digest}
        folder = tmp_path / "checkpoints" / digest
        if not folder.exists():
            tiny.random_checkpoint(folder, config)
        number = registry.register(folder, NAME, run_id, EVIDENCE, {"ddpm.git_sha": "abc"})
        if trusted:
            registry.annotate(NAME, number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1]})})
        return number

    return make


class Killed(BaseException):
    """Stands for SIGKILL where a process of its own would only cost seconds; nothing in the registry catches it."""


def die_at(monkeypatch: pytest.MonkeyPatch, where: str, call: int, act: Callable[[], object]) -> None:
    """Run `act` until the given call of a method of MLflow's client, which does not happen."""
    calls = []
    original = getattr(MlflowClient, where)

    def dies(*arguments: object, **options: object) -> object:
        calls.append(where)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, where, dies)
        with pytest.raises(Killed):
            act()


@pytest.fixture
def database(project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", machines.shared_database(project, empty_database))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with machines.machines(tmp_path) as start:
        yield start
