"""The SLURM script in a real shell, with stand-ins for srun and scontrol that record their arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/slurm.sh"


def submitted(folder: Path, status: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script where srun ends with a status."""
    for name, end in (("srun", status), ("scontrol", 0)):
        tool = folder / "tools" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\nexit {end}\n')
        tool.chmod(0o755)
    path = f"{folder / 'tools'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", SCRIPT], cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": path, "SLURM_JOB_ID": "17", "DDPM_PYTHON": sys.executable, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "requeued", "exits"), [(0, False, 0), (143, True, 0), (1, False, 1), (137, False, 137)]
)
def test_a_saved_training_goes_back_to_the_queue(tmp_path: Path, status: int, requeued: bool, exits: int) -> None:
    done = submitted(tmp_path, status)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == f"srun --kill-on-bad-exit=1 {sys.executable} -m ddpm.stages.train"
    assert calls[1:] == (["scontrol requeue 17"] if requeued else [])
    assert done.returncode == exits, done.stderr


def test_without_an_environment_nothing_starts(tmp_path: Path) -> None:
    done = submitted(tmp_path, 0, DDPM_PYTHON=".venv/bin/python")
    assert done.returncode == 1
    assert "set DDPM_PYTHON" in done.stderr
    assert not (tmp_path / "calls").exists()


def test_the_job_asks_for_a_warning_and_may_be_requeued() -> None:
    options = {line.removeprefix("#SBATCH ") for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")}
    assert {"--signal=TERM@120", "--requeue", "--open-mode=append"} <= options
