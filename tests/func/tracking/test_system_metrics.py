"""System metrics of a training are in its run, under MLflow's names, unless they are switched off."""

import os
import time
from pathlib import Path

import psutil
import pytest

from ddpm import tracking
from ddpm.tracking import system_metrics
from tests.support.records import DIGEST, points

MEMORY = "system/system_memory_usage_percentage"


def trained() -> tuple[str, set[str]]:
    """The run of a short training, and the names of its system metrics."""
    with tracking.Tracker(DIGEST, interval=0.05) as tracker:
        tracker.start({}, {})
        deadline = time.monotonic() + 60
        for images in range(100, 1_000_000, 100):
            tracker.metrics(images, {"loss": 0.5})
            time.sleep(0.05)
            written = tracker.spool.events.read_text().count(MEMORY)
            if written >= 3 or time.monotonic() > deadline or (images >= 1000 and not tracker._measures):
                break
        tracker.finish("FINISHED")
    run_id = tracking.run_of(DIGEST)
    assert run_id
    metrics = tracking.client().get_run(run_id).data.metrics
    return run_id, {name for name in metrics if name.startswith("system/")}


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers as nvidia-smi does, with two GPUs; the second does not report its power."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0, 87, 1000, 4000, 312.50'\necho '1, 0, 0, 4000, [N/A]'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_cpu_memory_and_gpu_are_in_the_run(project: Path, gpu: Path) -> None:
    run_id, names = trained()
    assert {
        "system/cpu_utilization_percentage", "system/system_memory_usage_megabytes", MEMORY,
        "system/gpu_0_utilization_percentage", "system/gpu_0_memory_usage_megabytes",
        "system/gpu_0_memory_usage_percentage", "system/gpu_0_power_usage_watts",
        "system/gpu_1_utilization_percentage", "system/gpu_1_memory_usage_megabytes",
        "system/gpu_1_memory_usage_percentage",
    } == names  # fmt: skip
    assert {value for _, value in points(run_id, "system/gpu_0_memory_usage_megabytes")} == {1048.6}
    assert {value for _, value in points(run_id, "system/gpu_0_memory_usage_percentage")} == {25.0}
    found = points(run_id, MEMORY)
    memory = psutil.virtual_memory()
    assert len(found) == len({step for step, _ in found}) >= 3
    assert found[-1][1] == pytest.approx(100 * memory.used / memory.total, abs=20)
    assert len(found) <= len(points(run_id, "train/loss"))


def test_one_switch(project: Path, gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(system_metrics.SWITCH, "false")
    assert trained()[1] == set()
    monkeypatch.setenv(system_metrics.SWITCH, "no")
    with pytest.raises(ValueError, match="set it to true or false"):
        tracking.Tracker("cd" * 32)


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", "echo '0, 1'"])
def test_a_gpu_that_does_not_answer_leaves_the_rest(gpu: Path, script: str) -> None:
    gpu.write_text(f"#!/bin/sh\n{script}\n")
    assert {name for name in system_metrics.sample() if "gpu" in name} == set()
    assert MEMORY in system_metrics.sample()
