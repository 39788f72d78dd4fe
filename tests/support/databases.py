"""Empty databases of servers, made once for all workers of a test run and copied: their migrations take seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.common import locks


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled, in this process or in that of another worker of pytest-xdist; read only."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with locks.locked(base / f"{name}.lock", f"another worker makes {name}", patience=600):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def make_prefect(home: Path) -> None:
    """Prefect's tables in `home`, as PREFECT_HOME."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    told = own | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    done = subprocess.run(command, env=told, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def give_prefect(home: Path, template: Path, name: str = "prefect.db") -> None:
    """Copy the tables of the home `template` into the new home `home`."""
    home.mkdir(parents=True, exist_ok=True)
    for path in template.glob("prefect.db*"):  # and its write-ahead log, if one was left
        shutil.copyfile(path, home / path.name.replace("prefect.db", name))
