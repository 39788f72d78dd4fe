"""A stage in a process forked from a server that has imported torch already, which may exit at a chosen write."""

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

WATCHED = ("out", ".state/train")
"""Folders whose writes are counted: what a thread ships to MLflow has no fixed order."""
KILLED = 137
PRELOADED = [
    "ddpm.data.prepare", "ddpm.evaluation.features", "ddpm.report.album", "ddpm.tracking.sync", "ddpm.training.job",
    "mlflow",
]  # fmt: skip


def context() -> Any:
    """The forkserver; modules are imported once for all its processes."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


def run(folder: Path, stage: str, crash_at: int = 0) -> int:
    """Run a stage in `folder`; return its exit status. crash_at: the atomic write at which it exits; 0: none."""
    process = context().Process(target=_work, args=(str(folder), stage, crash_at))
    process.start()
    process.join(300)
    assert not process.is_alive()
    return int(process.exitcode)


def writes(folder: Path, stage: str) -> int:
    """The number of atomic writes of a stage that `run` has run to its end."""
    return int((folder / f"{stage}.writes").read_text())


def _work(folder: str, stage: str, crash_at: int) -> None:
    """Count the renames that make a file or folder appear; before an odd one, or after an even one, exit."""
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    sys.stdout = sys.stderr = open(f"{stage}.log", "a")  # noqa: SIM115
    rename, count = os.replace, 0
    watched = tuple(os.path.join(os.getcwd(), name) for name in WATCHED)

    def counted(source: Any, target: Any, **options: Any) -> None:
        nonlocal count
        own = os.path.abspath(target).startswith(watched)
        count += own
        due = own and count == crash_at
        if due and count % 2:
            os._exit(KILLED)
        rename(source, target, **options)
        if due:
            os._exit(KILLED)

    os.replace = counted  # type: ignore[assignment]
    __import__(f"ddpm.stages.{stage}")
    sys.modules[f"ddpm.stages.{stage}"].main()
    os.replace = rename
    Path(f"{stage}.writes").write_text(str(count))
