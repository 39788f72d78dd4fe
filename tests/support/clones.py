"""A clone of the project with small parameters, and what its flows leave."""

import os
import re
import shutil
import time
from pathlib import Path

import psutil

from ddpm.config import presets
from tests.support.repositories import sh

ROOT = Path(__file__).parents[2]


def clone(folder: Path) -> Path:
    """A fresh clone with the quick preset and the 8x8 digits, which it gets from the remote inside git."""
    sh(ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    sh(folder, "git", "remote", "remove", "origin")  # retraining pushes its branch there
    (folder / "params.yaml").write_text(presets.text(folder / "presets" / "quick.yaml"))
    shutil.copy(folder / "assets" / "datasets" / "digits.yaml", folder / "data.dvc")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The clone's own code, its own embedded servers, one thread (so that tests may run beside other work)."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    return own | {
        "PYTHONPATH": str(folder / "src"),
        "OMP_NUM_THREADS": "1",
        "PREFECT_HOME": str(folder / ".state" / "prefect"),
    }


def states(output: str) -> dict[str, str]:
    """Return the state of each task, as printed on the terminal."""
    ends = "Completed|Cached|Restored|Fetched|Recorded"
    return dict(re.findall(rf"^(\S+) +({ends})\b", output, re.M))


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes that still work in the clone, after a moment."""
    deadline = time.monotonic() + 20
    while True:
        found = []
        for each in psutil.process_iter():
            try:
                if each.status() != psutil.STATUS_ZOMBIE and Path(each.cwd()) == folder:
                    found.append(each)
            except (psutil.Error, OSError):
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
