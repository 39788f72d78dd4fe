"""System metrics of a training: use of CPU, memory and NVIDIA GPUs, under the names of MLflow's page.

`MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false` switches them off, as it does in MLflow. MLflow's own monitor is not used:
it sends to the server directly, so an outage would lose its values, and its GPU part needs another package.
"""

import os
import shutil
import subprocess

import psutil

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
PREFIX = "system/"
"""MLflow's page has a tab for metrics with this prefix."""
GPU_FIELDS = "index,utilization.gpu,memory.used,memory.total,power.draw"
GPU_SECONDS = 5.0
"""Longest time to wait for nvidia-smi."""
MEGABYTE, MEBIBYTE = 1e6, 2**20


def enabled() -> bool:
    """Return False if SWITCH is false. Raises ValueError for a value that is neither true nor false."""
    chosen = os.environ.get(SWITCH, "").strip().lower() or "true"
    if chosen not in {"true", "1", "false", "0"}:
        raise ValueError(f"{SWITCH} is {os.environ[SWITCH]!r}: set it to true or false, or unset it")
    return chosen in {"true", "1"}


def sample() -> dict[str, float]:
    """Measure the whole machine. CPU use is the mean since the last call; the first call has none."""
    memory = psutil.virtual_memory()
    found = {
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": 100 * memory.used / memory.total,
    }
    if cpu := psutil.cpu_percent():
        found["cpu_utilization_percentage"] = cpu
    return {PREFIX + name: round(value, 1) for name, value in (found | _gpus()).items()}


def _gpus() -> dict[str, float]:
    """Use and memory of each NVIDIA GPU; empty without nvidia-smi, which every driver brings, or if it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GPU_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, float] = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        index, *values = (each.strip() for each in line.split(","))
        found |= _gpu(f"gpu_{index}", [_number(each) for each in values])
    return found


def _gpu(name: str, values: list[float | None]) -> dict[str, float]:
    """Name the values of one GPU; those that it does not report are left out."""
    if len(values) != len(GPU_FIELDS.split(",")) - 1:
        return {}
    utilization, used, total, power = values
    found = {
        "utilization_percentage": utilization,
        "memory_usage_megabytes": None if used is None else used * MEBIBYTE / MEGABYTE,
        "memory_usage_percentage": None if used is None or not total else 100 * used / total,
        "power_usage_watts": power,
    }
    return {f"{name}_{key}": value for key, value in found.items() if value is not None}


def _number(text: str) -> float | None:
    """Parse a value; None for `[N/A]` and the like."""
    try:
        return float(text)
    except ValueError:
        return None
