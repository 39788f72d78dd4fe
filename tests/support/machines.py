"""Programs that run as on machines of their own: they share a tracking server and no file."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ddpm import registry, tracking
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from tests.support import forked
from tests.support.forked import Process

NAME = "digits"
HEAD = "import os, signal, sys, time\nfrom ddpm import registry\nfrom ddpm.registry import aliases, lock\n"
Start = Callable[..., Process]


def shared_database(project: Path, empty_database: Path) -> str:
    """The address of a database that is not this checkout's own, so that others may use it too."""
    path = project / "shared.db"
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@contextlib.contextmanager
def machines(folder: Path, **environment: str) -> Iterator[Start]:
    """A function that starts a program on a machine: programs of one machine share a folder of lock files."""
    with contextlib.ExitStack() as all_end:

        def start(program: str, machine: str, *arguments: str) -> Process:
            temporary = folder / machine
            temporary.mkdir(exist_ok=True)
            own = os.environ | environment | {"TMPDIR": str(temporary)}
            process = forked.start([sys.executable, "-c", HEAD + program, *arguments], env=own)
            all_end.callback(process.wait)
            all_end.callback(process.kill)
            return process

        yield start


def said(process: Process) -> str:
    """The next line that a program prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def go(*processes: Process) -> None:
    """Wait until all are ready, and let them begin together."""
    assert [said(each) for each in processes] == ["ready"] * len(processes)
    for each in processes:
        release(each)


def release(process: Process) -> None:
    """Let a program go on that waits for a line."""
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def versions(count: int) -> None:
    """Register versions that count as verified; the first becomes champion."""
    connection = tracking.client()
    connection.create_registered_model(NAME)
    run = connection.create_run("0").info  # a server takes artifacts of runs only
    for number in range(count):
        tags = {CONTENT_TAG: str(number), VERIFIED_TAG: "{}"}
        connection.create_model_version(NAME, f"{run.artifact_uri}/{number}", run.run_id, tags=tags)
    registry.promote(NAME, 1, why="first", expected_champion=None)


def trail() -> list[tuple[int | None, int, str]]:
    """Origin, target and outcome of every move."""
    return [(each.origin, each.target, each.outcome) for each in registry.history(NAME)]
