"""CPU time of a training step of this checkout, compared with another commit or other settings.

    python bench/step.py HEAD~3                         # this checkout against a commit
    python bench/step.py HEAD --env MALLOC_TRIM_THRESHOLD_=131072   # against itself with a variable set
    OMP_NUM_THREADS=1 python bench/step.py HEAD~1 --nets params

Each side is a separate process that trains as the train stage does, deterministic kernels and allocator included.
Both run in turns, in changing order, so that a slow moment of the machine meets both; ratios are formed turn by turn
and given with 95 % intervals. CPU time is less disturbed by other programs than elapsed time, but does not show idle
threads.
"""

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONV = {"resample": "conv", "attention": (7,), "middle_attention": True, "patch": 2}
NETS: dict[str, dict[str, Any]] = {
    # changes to the net of params.yaml, with side and batch
    "params": {"net": {}, "side": 28, "batch": 32},
    "attention": {"net": CONV, "side": 28, "batch": 32},
    "residual": {
        "net": {**CONV, "resample": "residual", "attention": (), "middle_attention": False}, "side": 28, "batch": 32,
    },
    "published": {
        "net": {"patch": 1, "multipliers": (1, 2, 2), "blocks": 2, "attention": (16,), "middle_attention": True,
                "scale_shift": False, "resample": "conv"},
        "side": 32, "batch": 64,
    },
}  # fmt: skip
Row = tuple[float, float, float]  # CPU and elapsed milliseconds, and page faults, of one step


def training_step(net: dict[str, Any], side: int, batch: int) -> Callable[[], object]:
    """The step of the train stage, on random images of ten classes."""
    import numpy as np
    import torch

    from ddpm.config import params
    from ddpm.runtime.device import deterministic
    from ddpm.training import batches, loop, setup

    with contextlib.suppress(ImportError):  # older commits have none
        from ddpm.runtime.allocator import keep_freed_memory

        keep_freed_memory()
    deterministic()
    settings = params.load(ROOT / "params.yaml")
    changed = {
        "net": settings.net.model_copy(update=net),
        "train": settings.train.model_copy(update={"batch": batch}),
    }
    settings = settings.model_copy(update=changed)
    config = setup.checkpoint_config(settings, {"resolution": side, "channels": 1, "classes": list("0123456789")})
    state, recipe = setup.new_state(config, settings.train, torch.device("cpu")), setup.train_config(settings)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2048, side, side, 1), dtype=np.uint8)
    data = batches.in_memory(images, random.integers(0, 10, 2048), np.arange(2048), 10, torch.device("cpu"))
    order = batches.EpochSampler(0, 2048)
    return lambda: loop.train_step(state, data, recipe, order)


def work(net: str, steps: int) -> None:
    """Measure `steps` steps for each line of standard input."""
    step = training_step(**NETS[net])
    for _ in range(5):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        started, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            step()
        cpu, elapsed = time.process_time() - cpu, time.perf_counter() - started
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        print(1e3 * cpu / steps, 1e3 * elapsed / steps, faults / steps, flush=True)


@contextlib.contextmanager
def worker(source: Path, net: str, steps: int, variables: dict[str, str]) -> Iterator[Callable[[], Row]]:
    """A process with the code of `source`; yields a function that measures once."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", net, "--steps", str(steps)]
    environment = os.environ | {"PYTHONPATH": str(source / "src")} | variables
    with subprocess.Popen(
        command, cwd=source, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        answers, requests = process.stdout, process.stdin
        if answers.readline().strip() != "ready":
            raise RuntimeError(f"the process for {source} ended before its first step")

        def measure() -> Row:
            requests.write("\n")
            requests.flush()
            cpu, elapsed, faults = map(float, answers.readline().split())
            return cpu, elapsed, faults

        yield measure
        requests.close()


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A temporary work tree of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def compare(net: str, other: Path, variables: dict[str, str], turns: int, steps: int) -> None:
    """Measure both sides in turns and print a row for each."""
    import paired

    with worker(other, net, steps, variables) as theirs, worker(ROOT, net, steps, {}) as ours:
        rows: tuple[list[Row], list[Row]] = ([], [])
        for turn in range(turns):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                rows[side].append((theirs, ours)[side]())
    for name, side in zip(("other", "this checkout"), rows, strict=True):
        cpu, elapsed, faults = (statistics.median(column) for column in zip(*side, strict=True))
        print(f"{net:10} {name:14} CPU {cpu:7.1f} ms  elapsed {elapsed:7.1f} ms  {faults:7.0f} page faults a step")
    cpu, elapsed = (paired.text([row[i] for row in rows[0]], [row[i] for row in rows[1]]) for i in (0, 1))
    print(f"{net:10} speed-up       CPU {cpu}  elapsed {elapsed}, {turns} turns of {steps} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="commit to compare this checkout with")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), metavar="NET", help=", ".join(NETS))
    parser.add_argument("--env", nargs="+", default=[], metavar="NAME=VALUE", help="variables for the other side")
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--steps", type=int, default=5, help="optimiser steps in a turn")
    parser.add_argument("--work", choices=NETS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.work, chosen.steps)
        return
    if not chosen.commit:
        parser.error("name a commit, such as HEAD~1")
    with checkout(chosen.commit) as other:
        for net in chosen.nets:
            compare(net, other, dict(each.split("=", 1) for each in chosen.env), chosen.turns, chosen.steps)


if __name__ == "__main__":
    main()
