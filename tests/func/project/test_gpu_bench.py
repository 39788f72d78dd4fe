"""The GPU bench, tried out on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench/gpu.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_row_for_each_loop_with_its_utilisation() -> None:
    tiny = ["--device", "cpu", "--nets", "tiny", "--steps", "2", "--turns", "1", "--warmup", "1", "--no-compile"]
    done = bench(*tiny, "--peak", "0.001")
    assert done.returncode == 0, done.stderr
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:2] == "| "]
    assert [row[:2] for row in table[1:]] == [["tiny", "this project"], ["tiny", "diffusers"]]
    for row in table[1:]:
        values = dict(zip(table[0], row, strict=True))
        rate = float(values["images/s, median [range]"].split()[0].replace(",", ""))
        gflop, used = float(values["GFLOP/image, forward"]), float(values["FLOP utilisation"].rstrip("%")) / 100
        assert used == pytest.approx(3 * gflop * rate, rel=0.3)  # of a peak of 1 GFLOP/s; cells are rounded


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = bench()
    assert (done.returncode, done.stdout) == (3, "")
    assert "measures a GPU: device cuda cannot be used here" in done.stderr
