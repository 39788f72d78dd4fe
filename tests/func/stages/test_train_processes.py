"""The train stage as two processes: one of them killed, the one that started them killed, all asked to stop."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from ddpm.stages import train
from tests.support import forked
from tests.support.training_project import (
    SMALL,
    newest,
    prepare_project,
    result,
    wait_for_a_checkpoint_after,
    write_params,
)

TWO = {**SMALL, "train": {**SMALL["train"], "images": 1600, "sample_every": 1600, "processes": 2}}
STAGE = [sys.executable, "-m", "ddpm.stages.train"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose training has two processes."""
    return prepare_project(tmp_path_factory.mktemp("project"), 300, TWO)


class Stage:
    """The stage, started in a project, and the processes that it starts."""

    def __init__(self, project: Path) -> None:
        self.project, self.before = project, newest(project)
        self.process = forked.start(STAGE, cwd=project)
        self.workers: list[psutil.Process] = []

    def until_it_saved(self) -> None:
        wait_for_a_checkpoint_after(self.project, self.before, self.process)
        self.workers = psutil.Process(self.process.pid).children()
        assert len(self.workers) == 2

    def end(self) -> str:
        """Wait until it and all its processes have ended; return the output."""
        output = self.process.communicate(timeout=400)[0]  # open as long as a process that it started runs
        _, left = psutil.wait_procs(self.workers, timeout=60)
        assert not left
        return output

    def clean(self) -> None:
        """End what the test left."""
        for each in [psutil.Process(self.process.pid)] if self.process.poll() is None else []:
            for child in [*each.children(recursive=True), each]:
                child.kill()
        for worker in self.workers:
            if worker.is_running():
                worker.kill()
        self.process.wait()


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    """Return the stages that a test started, and kill them at its end."""
    started: list[Stage] = []
    yield started
    for each in started:
        each.clean()


def start(project: Path, stages: list[Stage]) -> Stage:
    stages.append(Stage(project))
    return stages[-1]


def finished(project: Path) -> str:
    """The output of the stage, run to its end."""
    done = forked.run(STAGE, cwd=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rank_of(worker: psutil.Process) -> int:
    return int(worker.environ()["RANK"])


@pytest.mark.slow
def test_killed_and_stopped_it_ends_with_the_bits_of_a_training_that_was_not(
    prepared: Path, tmp_path: Path, stages: list[Stage]
) -> None:
    whole, project = (Path(shutil.copytree(prepared, tmp_path / name)) for name in ("whole", "project"))
    finished(whole)

    first = start(project, stages)
    first.until_it_saved()
    next(each for each in first.workers if rank_of(each) == 1).kill()
    output = first.end()
    assert first.process.returncode == 1, output
    assert "process 1 of 2 was killed by SIGKILL, so all were stopped" in output
    assert not (project / "out/train/model").exists()

    second = start(project, stages)
    second.until_it_saved()
    second.process.kill()
    output = second.end()
    assert output.count("SIGTERM: saving, then stopping") == 1, output
    assert "stopped at image" in output

    third = start(project, stages)
    third.until_it_saved()
    third.process.send_signal(signal.SIGTERM)
    output = third.end()
    assert third.process.returncode == 128 + signal.SIGTERM, output
    assert output.count("SIGTERM: saving, then stopping") == 1
    assert output.count("stopped at image") == 1
    assert "Traceback" not in output
    stopped_at = int(output.split("stopped at image ")[1].split(";")[0])
    assert newest(project) == f"step-{stopped_at // 8:09d}"
    other = Path(shutil.copytree(project, tmp_path / "other"))

    assert f"resuming at image {stopped_at:,}" in finished(project)
    assert result(project) == result(whole)
    assert not list(project.glob(".state/train/*/.step-*"))

    write_params(other, {**TWO, "train": {**TWO["train"], "processes": 1}})
    assert f"resuming at image {stopped_at:,}" in finished(other)
    two, one = (
        np.loadtxt(each / "out/train/history.csv", delimiter=",", skiprows=1, usecols=(0, 1)) for each in (whole, other)
    )
    assert one[:, 0].tolist() == two[:, 0].tolist()
    assert one[:, 1] == pytest.approx(two[:, 1], rel=0.1)  # dropout has other places


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processes": 3}, "3 processes cannot share train.batch = 8"),
        ({"processes": 1, "sharding": "full", "channels_last": False}, "there is one. Raise train.processes"),
        ({"processes": 2, "sharding": "full"}, "needs channels_last: false"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {**SMALL, "train": {**SMALL["train"], **changes}})
    with pytest.raises(ValueError, match=words):
        train.processes()
