"""Real MLflow records for tests: an embedded database per test, and a server process where it matters."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ddpm import registry, tracking
from ddpm.tracking import store

DIGEST = "ab" * 32


def new_database(folder: Path) -> Path:
    """An empty database, made once and copied by each test."""
    store.quiet()
    store._create_database(folder / "mlflow.db")
    return folder / "mlflow.db"


def use_embedded(project: Path, template: Path) -> None:
    """Give the project folder a fresh embedded record."""
    target = project / ".state" / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True)
    shutil.copyfile(template, target)


@contextlib.contextmanager
def champion(
    project: Path, template: Path, checkpoint: Path, name: str, conditions: Mapping[str, Any]
) -> Iterator[None]:
    """Make the project folder current, with a fresh embedded record that has the checkpoint as champion of `name`."""
    use_embedded(project, template)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_id = tracking.complete(DIGEST, {})
        number = registry.register(checkpoint, name, run_id, {"conditions": conditions})
        registry.promote(name, number, why="first", expected_champion=None)
        yield


def points(run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of every point of a metric, as it is in MLflow."""
    history = store.client().get_metric_history(run_id, key)
    return sorted((metric.step, metric.value) for metric in history)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def group(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which ends with the block."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextlib.contextmanager
def server(folder: Path, template: Path, port: int) -> Iterator[str]:
    """`mlflow server` on its own database in `folder`, which outlives it; killed at the end of the block."""
    database = folder / "server.db"
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(template, database)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    log = folder / "server.log"
    with group(command, log, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}") as child:
        wait_for(f"http://127.0.0.1:{port}/health", child, log)
        yield f"http://127.0.0.1:{port}"


def wait_for(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers, or ends."""
    while True:
        assert child.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
