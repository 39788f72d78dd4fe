"""Processes that torchrun starts gather arrays of any length, in order; a program started otherwise is alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from ddpm.runtime.process_group import process_group

PROGRAM = """
import numpy as np
from ddpm.runtime.process_group import process_group
with process_group() as (rank, count, gather):
    found = gather(np.full((rank + 1, 2), rank, np.float64)) + gather(np.arange(rank, dtype=np.int64))
    if rank == 0:
        print(count, [each.tolist() for each in found], [str(each.dtype) for each in found])
"""


def test_arrays_of_different_lengths_come_in_the_order_of_the_processes(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 [[[0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [], [0]] ['float64', 'float64', 'int64', 'int64']" in done.stdout


def test_a_program_of_one_process_gathers_its_own() -> None:
    with process_group() as (rank, count, gather):
        (own,) = gather(np.arange(3))
        assert (rank, count, own.tolist()) == (0, 1, [0, 1, 2])
