"""Training state and its resumable checkpoints.

Checkpoints are kept in `.state/train/<digest>/step-N/`, outside DVC's outputs, which DVC deletes before each run. Each
is written to a temporary folder, fsynced and renamed; the newest intact one is used; an old one is deleted only after a
newer one is safe. The digest covers parameters, data and code, so that a changed training never resumes a stale state.
"""

import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm.common import files, terminal, units
from ddpm.common.locks import acquire
from ddpm.diffusion.denoiser import Denoiser
from ddpm.diffusion.objectives import Objective, denoising
from ddpm.runtime.sharded_tensors import distribute_like, gather_to_host, local_tensor

TENSORS, PROGRESS, SNAPSHOTS = "state.safetensors", "progress.json", "snapshots"
DIGESTS_KEPT = 3


class StateError(ValueError):
    """A training state cannot be read or written; the message gives the reason and the remedy."""


class Tracked(NamedTuple):
    """The weights and their averages as lists of equal order, which share the memory of the state's tensors."""

    weights: list[Tensor]
    ema: list[Tensor]
    averages: dict[float, list[Tensor]]


@dataclass
class State:
    """Network, EMA of its weights, optimiser and progress of a training.

    averages: power-function averages by length. snapshots: SHA-256 of each snapshot written so far, by file name.
    objective: what the training minimises; not part of a checkpoint.
    """

    denoiser: Denoiser
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)  # of the steps since the last line of the history
    history: list[dict[str, float]] = field(default_factory=list)
    averages: dict[float, dict[str, Tensor]] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)
    objective: Objective = denoising

    @functools.cached_property
    def tracked(self) -> Tracked:
        """This process's part of the weights and averages; tensors are updated in place, so it is made once."""
        each = [self.denoiser.state_dict(), self.ema, *self.averages.values()]
        weights, ema, *averages = ([local_tensor(tensors[name]) for name in self.ema] for tensors in each)
        return Tracked(weights, ema, dict(zip(self.averages, averages, strict=True)))


def digest(params: Mapping[str, Any], data: str, code: str) -> str:
    """Identify a training: SHA-256 over its parameters, the hash of its prepared data, its code and torch's version."""
    return files.sha256_json({"params": params, "data": data, "code": code, "torch": torch.__version__})


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Lock the state folder for this process. Raises StateError if another training holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        if not acquire(lock.fileno()):
            raise StateError(
                f"another process is training this model already (it holds {folder / 'lock'}). "
                "Wait for it, or stop it: it saves and can be resumed."
            )
        yield


@dataclass(frozen=True)
class Checkpoint:
    """A copy of a state on the CPU, to be written while training continues."""

    step: int
    tensors: dict[str, Tensor]
    progress: dict[str, Any]


def save(state: State, folder: Path, keep: int, *, writes: bool = True) -> None:
    """Write a resumable checkpoint, then prune older ones to `keep`. An intact one of the same step is left as it is.

    writes: False in processes that only contribute their part of a divided model. Raises StateError or DiskFullError
    when the disk is too full; earlier checkpoints stay intact.
    """
    checkpoint = copy(state, folder, writes=writes)
    if checkpoint:
        write(checkpoint, folder, keep)


def copy(state: State, folder: Path, *, writes: bool = True) -> Checkpoint | None:
    """Copy a state for `write`; None if it is written already, or not by this process.

    writes: as in `save`. Raises StateError when the disk is too full.
    """
    if _is_whole(_place(folder, state.step)):
        return None
    optimizer = {
        f"{index}.{name}": value
        for index, values in state.optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }
    parts = {"weights": state.denoiser.state_dict(), "ema": state.ema, "optimizer": optimizer}
    parts |= {_average(length): average for length, average in state.averages.items()}
    each = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    tensors = gather_to_host(each, keep=writes)
    if not writes:
        return None
    _need_space(folder, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    progress = {
        "step": state.step, "losses": list(state.losses), "history": list(state.history),
        "snapshots": dict(state.snapshots),
    }  # fmt: skip
    return Checkpoint(state.step, tensors, progress)


def write(checkpoint: Checkpoint, folder: Path, keep: int) -> None:
    """Write a checkpoint, renamed to its place when it is complete, then prune older ones to `keep`.

    Raises DiskFullError.
    """
    target = _place(folder, checkpoint.step)
    with files.fresh_folder(target) as new:
        files.write_tensors(new / TENSORS, checkpoint.tensors)
        progress = checkpoint.progress
        hashes = {"tensors": files.sha256_file(new / TENSORS), "progress": files.sha256_json(progress)}
        files.write_json(new / PROGRESS, {**progress, "sha256": hashes})
    there = sorted(folder.glob("step-*"))
    older = [path for path in there if path <= target]
    ahead = [path for path in there if path > target]  # damaged: training went on from one before them
    for path in [*older[:-keep], *ahead]:
        shutil.rmtree(path)
    for half_written in folder.glob(".step-*"):
        shutil.rmtree(half_written)


def restore(state: State, folder: Path) -> bool:
    """Load the newest intact checkpoint in `folder` into `state`. False when there is none.

    A damaged checkpoint is reported on standard output and the one before it is used; StateError if all are damaged.
    """
    found = sorted(folder.glob("step-*"), reverse=True)
    for candidate in found:
        try:
            content = _read(candidate)
        except (OSError, ValueError, KeyError) as error:
            terminal.echo(f"checkpoint {candidate} is damaged and is not used ({error})")
            continue
        _fill(state, content)
        return True
    if found:
        raise StateError(f"every checkpoint in {folder} is damaged. Delete that folder to train from the start.")
    return False


def prune_digests(root: Path, current: str) -> None:
    """Delete the state of all but the newest few trainings; never of one that is running."""
    others = [path for path in root.iterdir() if path.is_dir() and path.name != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in others[DIGESTS_KEPT - 1 :]:
        with contextlib.suppress(StateError), owned(old):
            shutil.rmtree(old)


def _place(folder: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return folder / f"step-{step:09d}"


def _is_whole(folder: Path) -> bool:
    """Return True if a checkpoint exists and matches its hashes."""
    try:
        _read(folder)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _read(folder: Path) -> dict[str, Any]:
    """Read a checkpoint and verify its hashes."""
    content: dict[str, Any] = files.read_json(folder / PROGRESS)
    hashes = content.pop("sha256")
    if files.sha256_json(content) != hashes["progress"]:
        raise ValueError(f"{PROGRESS} does not match its own hash")
    if files.sha256_file(folder / TENSORS) != hashes["tensors"]:
        raise ValueError(f"{TENSORS} does not match its hash")
    for name, expected in content["snapshots"].items():
        if files.sha256_file(folder.parent / SNAPSHOTS / name) != expected:
            raise ValueError(f"{SNAPSHOTS}/{name} does not match its hash")
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "ema": {}, "optimizer": {}}
    for name, tensor in files.read_tensors(folder / TENSORS).items():
        part, rest = name.split("/", 1)
        parts.setdefault(part, {})[rest] = tensor
    return content | parts


def _fill(state: State, content: Mapping[str, Any]) -> None:
    weights = {name: distribute_like(content["weights"][name], like) for name, like in state.ema.items()}
    state.denoiser.load_state_dict(weights)
    averages = {"ema": state.ema} | {_average(length): average for length, average in state.averages.items()}
    for part, average in averages.items():
        for name, tensor in average.items():
            tensor.copy_(distribute_like(content[part][name], tensor))
    parameters = [each for group in state.optimizer.param_groups for each in group["params"]]
    nested: dict[int, dict[str, Tensor]] = {}
    for key, value in content["optimizer"].items():
        index, name = key.split(".", 1)
        # A fused optimiser pairs elements by memory position: give each moment the layout of its parameter.
        like = parameters[int(index)]
        laid_out = distribute_like(value, like) if value.shape == like.shape else value
        nested.setdefault(int(index), {})[name] = laid_out
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": nested, "param_groups": groups})
    state.step, state.losses, state.history = content["step"], content["losses"], content["history"]
    state.snapshots = content["snapshots"]


def _average(length: float) -> str:
    """Part of a checkpoint that holds a power-function average."""
    return f"average-{length:g}"


def _need_space(folder: Path, size: int) -> None:
    """Raise StateError if the disk has no room for a checkpoint."""
    free = shutil.disk_usage(folder).free
    needed = size + 2**20
    if free < needed:
        raise StateError(
            f"{folder} has {units.size(free)} free and a checkpoint needs {units.size(needed)}. "
            "Free some space; training continues from the last checkpoint."
        )
