"""A small pipeline in a clone of its own, on servers that can be killed, and how to find what it leaves running."""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from ddpm.config import presets
from tests.support.repositories import DDPM

MARK = "DDPM_TEST_ROUND"
"""In the environment of everything that a flow starts, so that nothing of it is overlooked."""
PATIENCE = 900.0
SMALL: dict[str, dict[str, Any]] = {
    "net": {"channels": 8, "head_channels": 8, "groups": 4},
    "features": {"images": 1024, "width": 8},
    "train": {"images": 3200, "warmup": 320, "ema": 640, "log_every": 320, "sample_every": 1600,
              "checkpoint_every": 160},
    "sample": {"count": 100, "steps": 2, "strip": 2},
    "evaluate": {"blocks": 2, "grid": 4, "splits": 2},
    "promote": {"name": "ddpm-faults"},
}  # fmt: skip


def write_params(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """The quick preset, made smaller, with changes."""
    yaml = YAML(typ="safe")
    params = presets.values(folder / "presets" / "quick.yaml")
    for each in (SMALL, changes):
        for section, values in each.items():
            params[section].update(values)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)


@dataclass
class Server:
    """A server with all its processes, in a group of its own."""

    command: list[str]
    health: str
    log: Path
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), cwd=self.log.parent, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        assert self.process is not None

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(self.health, timeout=5):
                return True
            return False

        until(answers)

    def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Flow:
    """One run of `ddpm run`, read line by line as it goes."""

    folder: Path
    environment: Mapping[str, str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [DDPM, "run"], cwd=self.folder, env=dict(self.environment), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)  # line by line

    def runs(self) -> bool:
        return self.process.poll() is None

    def said(self, start: str) -> bool:
        return any(line.startswith(start) for line in self.lines)

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Wait for an event or the end of the flow; return True if the event has happened."""
        until(lambda: condition() or not self.runs())
        return self.runs()

    def find(self, *words: str) -> "psutil.Process | None":
        """The process of this flow whose command has all these words."""
        for each in marked(self.environment[MARK]):
            with contextlib.suppress(psutil.Error):
                command = each.cmdline()
                if each.pid != self.process.pid and all(word in command for word in words):
                    return each
        return None

    def end(self) -> str:
        self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=30)
        return "".join(self.lines)


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry a mark."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if each.status() != psutil.STATUS_ZOMBIE and each.environ().get(MARK) == mark:
                found.append(each)
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def locks_held(folder: Path) -> list[Path]:
    """Lock files under a folder that somebody holds."""
    held = []
    for path in [*folder.rglob("*.lock"), *folder.rglob("lock")]:
        if path.is_file() and path.name not in {"dvc.lock", "requirements.lock"} and ".git" not in path.parts:
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(path)
    return held
