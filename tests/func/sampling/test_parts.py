"""A large set drawn in parts: stopped anywhere and gone on with, it is the set that nobody stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.sampling import chunks
from tests.support import forked

JOB = {"seed": 3, "sampling": {"interval": (0.1, 2.0)}}


def ramp(indices: range) -> np.ndarray:
    """Images (N, 1, 1, 1) that show their own index."""
    return np.array(indices, np.uint8).reshape(-1, 1, 1, 1)


def test_only_what_is_missing_is_drawn(tmp_path: Path) -> None:
    drawn: list[range] = []

    def until_the_third(indices: range) -> np.ndarray:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(indices)
        return ramp(indices)

    begun = chunks.opened(tmp_path / "parts", JOB, 10, 4)
    with pytest.raises(KeyboardInterrupt):
        begun.fill(until_the_third)
    assert (drawn, begun.done()) == ([range(4), range(4, 8)], 8)

    again = chunks.opened(tmp_path / "parts", JOB, 10, 4)
    assert again.missing() == [range(8, 10)]
    again.fill(ramp)
    assert np.concatenate(list(again.read())).ravel().tolist() == list(range(10))
    again.remove()
    assert not (tmp_path / "parts").exists()


def test_parts_of_another_job_are_not_mixed_in(tmp_path: Path) -> None:
    chunks.opened(tmp_path / "parts", JOB, 10, 4).fill(ramp)
    with pytest.raises(ValueError, match="holds images of another job, which differs in count, seed"):
        chunks.opened(tmp_path / "parts", {**JOB, "seed": 4}, 12, 4)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    found = chunks.opened(tmp_path / "parts", JOB, 10, 4)
    found.fill(ramp)
    damaged = tmp_path / "parts" / "000000004.npy"
    damaged.write_bytes(damaged.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"000000004\.npy is damaged"):
        list(found.read())


def test_rows_become_one_array_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "all.npy"
    files.write_npy_rows(target, 10, (ramp(range(at, min(at + 4, 10))) for at in range(0, 10, 4)))
    np.testing.assert_array_equal(files.read_npy(target), ramp(range(10)))
    with pytest.raises(ValueError, match="must get 11 rows, but 10 were given"):
        files.write_npy_rows(target, 11, [ramp(range(10))])
    np.testing.assert_array_equal(files.read_npy(target), ramp(range(10)))
    assert [path.name for path in tmp_path.iterdir()] == ["all.npy"]


COMMAND = [
    "-c", "from ddpm.cli import app; app()",
    "sample", "--count", "120", "--batch", "8", "--steps", "20", "--sampler", "ddpm", "--seed", "5", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the output of an uninterrupted command."""
    out = tmp_path_factory.mktemp("whole") / "whole.npy"
    done = forked.run([sys.executable, *COMMAND, "--model", str(tiny_checkpoint), "--out", str(out)])
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def killed_after_three_parts(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while len(list(folder.glob("0*.npy"))) < 3 and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()  # ends with the last process that could write
    assert 3 <= len(list(folder.glob("0*.npy"))) < 15
    return process


def test_a_killed_command_goes_on_where_it_was(tiny_checkpoint: Path, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "killed.npy"
    command = [sys.executable, *COMMAND, "--model", str(tiny_checkpoint), "--out", str(out)]
    killed_after_three_parts(command, tmp_path / "killed.npy.parts")
    assert not out.exists()

    done = forked.run(command)
    assert "120 images" in done.stdout
    assert out.read_bytes() == whole
    assert not (tmp_path / "killed.npy.parts").exists()


def test_two_processes_killed_and_three_that_go_on_draw_what_one_does(
    tiny_checkpoint: Path, tmp_path: Path, whole: bytes
) -> None:
    """Killed is torchrun; its processes end with it."""
    out = tmp_path / "shared.npy"

    def torchrun(count: int) -> list[str]:
        own = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "--no-python"]
        return [sys.executable, *own, sys.executable, *COMMAND, "--model", str(tiny_checkpoint), "--out", str(out)]

    killed_after_three_parts(torchrun(2), tmp_path / "shared.npy.parts")
    assert not out.exists()
    done = forked.run(torchrun(3))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("120 images of") == 1
    assert out.read_bytes() == whole
    assert not (tmp_path / "shared.npy.parts").exists()
