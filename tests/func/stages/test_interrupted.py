"""A stage that is stopped before its work begins: while it imports what it needs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

SLOW_MODULE = """\
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(120)
"""


@pytest.mark.parametrize(("stage", "module"), [("prepare", "numpy"), ("train", "torch"), ("evaluate", "pydantic")])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_stage_interrupted_while_it_imports_ends_without_a_traceback(
    tmp_path: Path, stage: str, module: str, number: signal.Signals, status: int
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / f"{module}.py").write_text(SLOW_MODULE)
    process = subprocess.Popen(
        [sys.executable, "-m", f"ddpm.stages.{stage}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(modules)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: (tmp_path / "importing").exists() or process.poll() is not None)
        process.send_signal(number)
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert (process.returncode, output) == (status, "")
