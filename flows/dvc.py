"""Run the stages of DVC, and report what DVC did with each.

DVC decides what is stale; nothing here repeats its graph or its rules. Stages run by `dvc repro --single-item` in the
order of DVC's own graph, so the flow and `dvc repro` do the same.
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
from ddpm.common.progress import duration
from ddpm.data.dvc import CACHED, CHATTER, KILLED, RECORDED, RESTORED, environment, is_busy, words
from ddpm.provenance import git
from flows import processes


class Did(enum.StrEnum):
    """What DVC did with a stage; also the name of its final state in Prefect."""

    RAN = "Completed"
    CACHED = "Cached"
    RESTORED = "Restored"
    FETCHED = "Fetched"
    RECORDED = "Recorded"


class StageError(RuntimeError):
    """A stage failed; the message says which, how, and its last lines."""


class BusyError(StageError):
    """Another DVC process holds a lock: a later retry helps."""


class TimeLimitError(StageError):
    """The time limit stopped the stage."""


@dataclass(frozen=True)
class Stage:
    """A stage as DVC knows it. `data`: a tracked input (`data.dvc`) rather than a command; `slot`: `meta.slot`."""

    name: str
    data: bool
    slot: str | None
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a stage, and its cost in seconds: wall clock, processors, and GPU held."""

    stage: str
    did: Did
    seconds: float
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    @property
    def text(self) -> str:
        """The outcome in a few words."""
        if self.did is Did.CACHED:
            return "nothing changed"
        if self.did is Did.RESTORED:
            return f"from DVC's cache in {duration(self.seconds)}"
        if self.did is Did.RECORDED:
            return "the data had changed: their new version is in the .dvc file"
        return f"in {duration(self.seconds)}"


def graph() -> list[Stage]:
    """The stages of the repository in the current folder, in topological order, else in that of dvc.yaml.

    Raises StageError when DVC cannot read its files.
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
                f"DVC cannot read this project: {error}. If a crash cut dvc.lock off, delete it: what it named is "
                "found again in DVC's cache."
            ) from error
        # DVC's edges run from a stage to what it depends on.
        sorter = TopologicalSorter({stage: list(index.graph.successors(stage)) for stage in stages})
        sorter.prepare()
        ordered = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=stages.index)
            sorter.done(*ready)
            ordered += ready
        return [_described(stage) for stage in ordered]


def _described(stage: Any) -> Stage:
    """Our view of DVC's stage."""
    return Stage(
        name=stage.addressing,
        data=stage.is_data_source,
        slot=(getattr(stage, "meta", None) or {}).get("slot"),
        missing=tuple(os.path.relpath(out.fs_path) for out in stage.outs if not out.exists),
    )


def run(
    stage: Stage,
    say: Callable[[str], None],
    *,
    limit: float | None = None,
    grace: float = processes.GRACE,
) -> Outcome:
    """Bring one stage up to date. Raises BusyError, TimeLimitError or StageError."""
    started, busy = time.monotonic(), _busy()
    fetch = stage.data and bool(stage.missing)
    arguments = ["pull", stage.name] if fetch else ["repro", "--single-item", stage.name]
    ended = dvc(arguments, say, limit, grace)
    _check(stage, ended, limit)
    did = Did.FETCHED if fetch else _did(ended.lines)
    return Outcome(stage.name, did, time.monotonic() - started, _busy() - busy)


def _busy() -> float:
    """Processor seconds of the ended descendants of this process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stale() -> list[str]:
    """The stages and data that `dvc status` reports as changed. Takes a second. Raises BusyError."""
    return sorted(_status())


def touched(pointer: str) -> set[str]:
    """How data differ from their .dvc file: `modified`, `deleted`, `not in cache`. Raises BusyError."""
    known = _status(pointer).get(pointer, [])
    return {how for each in known for how in each.get("changed outs", {}).values()}


def _status(*targets: str) -> dict[str, Any]:
    """The output of `dvc status`."""
    ended = dvc(["status", "--json", *targets], lambda line: None, limit=600, grace=5)
    _check(Stage("dvc status", data=False, slot=None, missing=()), ended, 600)
    found: dict[str, Any] = json.loads(ended.lines[-1])
    return found


def dvc(
    arguments: list[str],
    say: Callable[[str], None],
    limit: float | None,
    grace: float = processes.GRACE,
    keep: Sequence[int] = (),
) -> processes.Ended:
    """Run DVC in a process group of its own, and pass on its output without chatter.

    keep: descriptors that it inherits, such as a lock.
    """
    return processes.run(
        processes.module_command("dvc", *arguments),
        lambda line: None if CHATTER.match(line) else say(line),
        limit=limit,
        grace=grace,
        environment=environment(),
        keep=keep,
    )


def _did(lines: tuple[str, ...]) -> Did:
    """What DVC did, from its output."""
    for pattern, did in ((CACHED, Did.CACHED), (RESTORED, Did.RESTORED), (RECORDED, Did.RECORDED)):
        if any(pattern.match(line) for line in lines):
            return did
    return Did.RAN


def _check(stage: Stage, ended: processes.Ended, limit: float | None) -> None:
    """Raise the error that an exit status stands for, if any."""
    if ended.timed_out:
        raise TimeLimitError(
            f"{stage.name} was stopped after {limit:.0f} s, the time limit (flow.time_limit in params.yaml). "
            "Training has saved its state: run again to go on, with a higher limit if needed."
        )
    if ended.code == 0:
        return
    last = "\n".join(f"  {line}" for line in words(ended.lines)[-12:])
    if is_busy(ended.lines):
        raise BusyError(f"{stage.name} could not start: another DVC process is at work here.\n{last}")
    status = KILLED.search("\n".join(ended.lines))
    if why := faults.killed(int(status[1]) if status else ended.code):
        raise StageError(f"{stage.name} ended early. {why}")
    remedy = "\nTo use other images: ddpm data use SOURCE" if stage.data else ""
    raise StageError(f"{stage.name} failed (exit status {ended.code}). Its last lines:\n{last}{remedy}")
