"""Run DVC's stages and report what DVC did with each.

DVC decides what is stale; this module repeats neither its graph nor its rules. Stages run by `dvc repro --single-item`
in the order of DVC's graph, so the flow and `dvc repro` do the same.
"""

import enum
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from ddpm.common import faults
from ddpm.common.units import duration
from ddpm.data.dvc import CACHED, CHATTER, RECORDED, RESTORED, environment, exit_status, is_busy, message_lines
from ddpm.provenance import git
from flows import processes


class StageResult(enum.StrEnum):
    """The way in which DVC brought a stage up to date; also the name of its final state in Prefect."""

    RAN = "Completed"
    CACHED = "Cached"
    RESTORED = "Restored"
    FETCHED = "Fetched"
    RECORDED = "Recorded"


class StageError(RuntimeError):
    """A stage failed; the message has its name, its exit status and its last lines.

    brief: the message for a terminal, which has shown these lines already.
    """

    def __init__(self, message: str, brief: str = "") -> None:
        super().__init__(message)
        self.brief = brief or message


class BusyError(StageError):
    """Another DVC process holds a lock; a later retry may succeed."""


class TimeLimitError(StageError):
    """The time limit stopped the stage."""


@dataclass(frozen=True)
class Stage:
    """A stage of DVC's graph.

    data: whether it is a tracked input (`data.dvc`), without a command. slot: its `meta.slot`. missing: outputs that do
    not exist.
    """

    name: str
    data: bool
    slot: str | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage: its result, and its cost in seconds of wall clock, CPU, and GPU slot held."""

    stage: str
    result: StageResult
    seconds: float
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    @property
    def text(self) -> str:
        """A short description of the result."""
        if self.result is StageResult.CACHED:
            return "nothing changed"
        if self.result is StageResult.RESTORED:
            return f"from DVC's cache in {duration(self.seconds)}"
        if self.result is StageResult.RECORDED:
            return "the data had changed: the .dvc file now names their new version"
        return f"in {duration(self.seconds)}"


def graph() -> list[Stage]:
    """The stages of the repository in the current folder, in topological order; ties in the order of dvc.yaml.

    Raises StageError if DVC cannot read its files.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repository = Repo()
    except DvcException as error:  # without git, for example
        raise StageError(f"DVC cannot read this project: {git.trouble() or error}") from error
    with repository as repo:
        try:
            index = repo.index
            stages = list(index.stages)
        except DvcException as error:
            raise StageError(
                f"DVC cannot read this project: {error}. If a crash truncated dvc.lock, delete it: DVC finds the "
                "results that it named in its cache."
            ) from error
        # DVC's edges run from a stage to its dependencies.
        sorter = TopologicalSorter({stage: list(index.graph.successors(stage)) for stage in stages})
        sorter.prepare()
        ordered = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=stages.index)
            sorter.done(*ready)
            ordered += ready
        return [_stage(stage) for stage in ordered]


def _stage(stage: Any) -> Stage:
    """Convert DVC's stage."""
    return Stage(
        name=stage.addressing,
        data=stage.is_data_source,
        slot=(getattr(stage, "meta", None) or {}).get("slot"),
        missing=tuple(os.path.relpath(out.fs_path) for out in stage.outs if not out.exists),
    )


def run(
    stage: Stage,
    log: Callable[[str], None],
    *,
    limit: float | None = None,
    grace: float = processes.GRACE,
) -> StageRun:
    """Bring one stage up to date. Raises BusyError, TimeLimitError or StageError."""
    started, busy = time.monotonic(), _cpu_seconds()
    fetch = stage.data and bool(stage.missing)
    arguments = ["pull", stage.name] if fetch else ["repro", "--single-item", stage.name]
    done = dvc(arguments, log, limit, grace)
    _check(stage, done, limit)
    result = StageResult.FETCHED if fetch else _result(done.lines)
    return StageRun(stage.name, result, time.monotonic() - started, _cpu_seconds() - busy)


def _cpu_seconds() -> float:
    """CPU seconds used by the ended descendants of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stale() -> list[str]:
    """The stages and data that `dvc status` reports as changed. Takes a second. Raises BusyError."""
    return sorted(_status())


def data_changes(pointer: str) -> set[str]:
    """Differences between data and their .dvc file: `modified`, `deleted`, `not in cache`. Raises BusyError."""
    entries = _status(pointer).get(pointer, [])
    return {change for each in entries for change in each.get("changed outs", {}).values()}


def _status(*targets: str) -> dict[str, Any]:
    """The output of `dvc status`."""
    done = dvc(["status", "--json", *targets], lambda line: None, limit=600, grace=5)
    _check(Stage("dvc status", data=False, slot=None, missing=()), done, 600)
    found: dict[str, Any] = json.loads(done.lines[-1])
    return found


def dvc(
    arguments: list[str],
    log: Callable[[str], None],
    limit: float | None,
    grace: float = processes.GRACE,
    pass_fds: Sequence[int] = (),
) -> processes.ProcessResult:
    """Run DVC in its own process group, and log its output without progress and hints.

    pass_fds: file descriptors that it inherits, such as a lock.
    """
    return processes.run(
        processes.module_command("dvc", *arguments),
        lambda line: None if CHATTER.match(line) else log(line),
        limit=limit,
        grace=grace,
        environment=environment(),
        pass_fds=pass_fds,
    )


def _result(lines: tuple[str, ...]) -> StageResult:
    """The result of a stage, from DVC's output."""
    patterns = {StageResult.CACHED: CACHED, StageResult.RESTORED: RESTORED, StageResult.RECORDED: RECORDED}
    for result, pattern in patterns.items():
        if any(pattern.match(line) for line in lines):
            return result
    return StageResult.RAN


def _check(stage: Stage, done: processes.ProcessResult, limit: float | None) -> None:
    """Raise the error of a command that failed, if it did."""
    if done.timed_out:
        raise TimeLimitError(
            f"{stage.name} was stopped after {duration(limit or 0)}, the time limit (flow.time_limit in params.yaml). "
            "Training has saved its state: run again to resume, with a higher limit if needed."
        )
    if done.code == 0:
        return
    last = "\n".join(f"  {line}" for line in message_lines(done.lines)[-12:])
    if is_busy(done.lines):
        raise BusyError(f"{stage.name} could not start: another DVC process is running here.\n{last}")
    status = exit_status(done.lines, done.code)
    if why := faults.killed(status):
        raise StageError(f"{stage.name} ended early. {why}")
    failed = f"{stage.name} failed with exit status {status}."
    remedy = "\nTo use other images: ddpm data use SOURCE" if stage.data else ""
    raise StageError(f"{failed} Its last lines:\n{last}{remedy}", f"{failed} Its last lines are above.{remedy}")
