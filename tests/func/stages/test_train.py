"""The train stage as a process: killed at random moments, asked to stop, started twice, given other parameters."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import forked
from tests.support.training_project import (
    SMALL,
    newest,
    prepare_project,
    result,
    wait_for_a_checkpoint_after,
    write_params,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_project(tmp_path_factory.mktemp("project"), 400, SMALL)


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(prepared, tmp_path / "project"))


@pytest.fixture
def start(project: Path) -> Iterator[Callable[[], forked.Process]]:
    """Start the stage; what still runs at the end is ended."""
    started: list[forked.Process] = []

    def begin() -> forked.Process:
        started.append(forked.start([sys.executable, "-m", "ddpm.stages.train"], cwd=project))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    project = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("whole") / "project"))
    done = forked.run([sys.executable, "-m", "ddpm.stages.train"], cwd=project)
    assert done.returncode == 0, done.stderr
    return result(project)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    project: Path, uninterrupted: dict[str, str], start: Callable[[], forked.Process]
) -> None:
    """A checkpoint every other step keeps it saving most of the time, so that many kills meet a save."""
    moments = random.Random(0)
    for _ in range(4):
        last, process = newest(project), start()
        wait_for_a_checkpoint_after(project, last, process)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.wait()
        assert not (project / "out/train/model").exists()
    last = start()
    output = last.communicate(timeout=300)[0]
    assert last.returncode == 0, output
    assert "resuming at image" in output
    assert result(project) == uninterrupted
    assert not list(project.glob(".state/train/*/.step-*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_first_and_goes_on_to_the_same_bits(
    project: Path, uninterrupted: dict[str, str], start: Callable[[], forked.Process], number: signal.Signals
) -> None:
    process = start()
    wait_for_a_checkpoint_after(project, "", process)
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number
    assert f"{number.name}: saving, then stopping" in output
    stopped_at = int(output.split("stopped at image ")[1].split(";")[0])
    process = start()
    output = process.communicate(timeout=300)[0]
    assert f"resuming at image {stopped_at:,}" in output
    assert result(project) == uninterrupted


@pytest.mark.slow
def test_a_second_trainer_refuses_while_the_first_runs(project: Path, start: Callable[[], forked.Process]) -> None:
    first = start()
    wait_for_a_checkpoint_after(project, "", first)
    second = start()
    output = second.communicate(timeout=120)[0]
    assert second.returncode == 1
    assert "another process is training this model already" in output
    assert "Traceback" not in output
    assert first.poll() is None


@pytest.mark.slow
def test_other_parameters_or_data_never_resume_a_stale_state(
    project: Path, start: Callable[[], forked.Process]
) -> None:
    process = start()
    wait_for_a_checkpoint_after(project, "", process)
    process.kill()
    process.wait()
    write_params(project, SMALL | {"train": SMALL["train"] | {"images": 80, "lr": 0.003}})
    output = start().communicate(timeout=120)[0]
    assert "resuming" not in output
    (project / "data/0/0.png").unlink()
    assert forked.run([sys.executable, "-m", "ddpm.stages.prepare"], cwd=project).returncode == 0
    output = start().communicate(timeout=120)[0]
    assert "resuming" not in output
    assert len(list(project.glob(".state/train/*/"))) == 3


@pytest.mark.slow
def test_it_ends_with_its_parent(project: Path) -> None:
    """A shell stands for DVC; when it is killed, no trainer is left behind, and its state is whole."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"'{sys.executable}' -m ddpm.stages.train & echo $!; wait"],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None
    trainer = int(shell.stdout.readline())
    wait_for_a_checkpoint_after(project, "", shell)
    shell.kill()
    shell.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{trainer}").exists() and "Z" not in Path(f"/proc/{trainer}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_changed_prepared_images_are_refused_before_training(
    project: Path, start: Callable[[], forked.Process]
) -> None:
    path = project / "out/prepare/images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    process = start()
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "was changed after it was prepared" in output
