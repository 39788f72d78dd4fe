"""A machine that runs out of memory or files, or that forbids: one sentence, and a status other than 0."""

import errno
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ddpm.common import faults
from flows import dvc, processes

ROOT = Path(__file__).parents[3]
PROGRAM = """
import resource, tempfile
from ddpm import stages
def main():
{work}
stages.run(main)
"""
WORK = {
    "numpy": "import numpy; numpy.zeros(2**50, numpy.uint8)",
    "torch": "import torch; torch.zeros(2**50, dtype=torch.uint8)",
    "python": "bytearray(2**50)",
    "files": "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); held = [open('/dev/null') for _ in range(50)]",
    "behind": """
try: bytearray(2**50)
except MemoryError as error: raise RuntimeError("the loader ended") from error
""",
}


@pytest.mark.parametrize("work", WORK)
def test_a_stage_that_runs_out_of_something_says_so(work: str) -> None:
    code = PROGRAM.format(work=textwrap.indent(WORK[work], "    "))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    words = faults.TOO_MANY_FILES if work == "files" else faults.OUT_OF_MEMORY
    assert done.stderr.splitlines() == [f"error: {words}"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_that_cannot_be_written_to_is_named(number: int) -> None:
    said = faults.exhausted(OSError(number, "no", ".state/prefect"))
    assert ".state/prefect cannot be written" in said


@pytest.mark.parametrize(
    "error", [ValueError("bad"), RuntimeError("a defect"), FileNotFoundError(2, "no", "a"), OSError()]
)
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert faults.exhausted(error) == ""


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (255, "ERROR: failed to reproduce 'train': failed to run: exec python -m ddpm.stages.train, exited with -9"),
        (255, "ERROR: failed to reproduce 'train': failed to run: python -m ddpm.stages.train, exited with 137"),
        (-9, "train: 100 of 200 images"),
    ],
)
def test_a_stage_that_the_kernel_has_killed_is_told_from_one_that_failed(code: int, line: str) -> None:
    train = dvc.Stage("train", data=False, slot=None, missing=())
    with pytest.raises(dvc.StageError, match=r"killed .*memory"):
        dvc._check(train, processes.ProcessResult(code, (line,), timed_out=False), None)
    with pytest.raises(dvc.StageError, match="exit status 3"):
        dvc._check(train, processes.ProcessResult(255, ("ERROR: exited with 3",), timed_out=False), None)


@pytest.mark.parametrize(("soft", "hard", "status"), [(20, 40, 1), (20, 4096, 0), (4096, 4096, 0)])
def test_a_run_raises_its_limit_of_open_files_or_says_that_it_is_too_low(soft: int, hard: int, status: int) -> None:
    code = f"""
import resource
from ddpm import stages
from ddpm.common import faults
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
stages.run(faults.require_open_files)
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1024
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stderr.splitlines() == ([f"error: {faults.TOO_MANY_FILES}"] if status else [])
