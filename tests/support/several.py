"""The processes that tests/func/training/test_distributed.py starts by torchrun: `python several.py FOLDER`.

The first of them leaves what it found in FOLDER.
"""

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ddpm.common import files
from ddpm.diffusion.objectives import Objective, denoising
from ddpm.metrics.shards import Shard
from ddpm.model import build
from ddpm.runtime.process_group import process_group
from ddpm.runtime.sharded_tensors import local_tensor
from ddpm.training import data_parallel, loop, optimizers, state
from ddpm.training.batches import Loader
from ddpm.training.config import TrainConfig
from ddpm.training.heldout_loss import HeldoutLoss, Plan
from tests.support import tiny
from tests.support.sample_section import section

# Without dropout: its places differ from process to process, all else is that of one process.
CONFIG: dict[str, Any] = {**tiny.CONFIG, "net": {**tiny.CONFIG["net"], "dropout": 0.0}}
TRAIN_CONFIG = replace(tiny.TRAIN_CONFIG, log_every=8)  # one line of the history for each step
SHORT = replace(TRAIN_CONFIG, images=40)
STOPPED_AT = 7
SAMPLE = section(count=10, batch=3)


def nothing(*values: Any) -> None:
    """Do nothing, in place of record, preview and checkpoint."""


def fit(
    training: state.State, group: data_parallel.ProcessGroup, recipe: TrainConfig = TRAIN_CONFIG, **hooks: Any
) -> None:
    """Train on the tiny set."""
    chosen: dict[str, Callable[..., Any]] = {"should_stop": lambda: False, **hooks}
    for name in ("log", "preview", "save"):
        chosen.setdefault(name, nothing)
    loop.fit(training, tiny.data(), recipe, group=group, **chosen)


def replicas(
    rank: int, count: int, optimizer: str = "adamw", objective: Objective = denoising
) -> tuple[state.State, data_parallel.DDPGroup]:
    """A training of which every process holds a whole."""
    training = tiny.training(CONFIG, optimizer, objective)
    return training, data_parallel.DDPGroup(rank, count, training.denoiser, objective)


def shards(
    rank: int, count: int, optimizer: str = "adamw", objective: Objective = denoising
) -> tuple[state.State, data_parallel.FSDPGroup]:
    """A training that the processes divide."""
    torch.manual_seed(0)
    denoiser = build.denoiser(tiny.typed(CONFIG))
    data_parallel.shard(denoiser, build.units(denoiser.net), torch.device("cpu"))
    chosen = optimizers.optimizer(denoiser, optimizer, tiny.OPTIMIZER)
    ema = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    training = state.State(denoiser, ema, chosen, objective=objective)
    return training, data_parallel.FSDPGroup(rank, count, denoiser)


def heldout() -> HeldoutLoss:
    """A measurement whose chunks do not divide evenly among two processes, at every step."""
    return HeldoutLoss(tiny.data(), torch.arange(27, 30), TRAIN_CONFIG, Plan(images=7, interval=1))


def measured(training: state.State, group: data_parallel.ProcessGroup) -> dict[str, float]:
    """Held-out loss at the start, with an average that differs from the weights."""
    with torch.no_grad():
        for tensor in training.ema.values():
            local_tensor(tensor).mul_(1.5)
    return heldout().measure(training, group)


def leave(folder: Path, training: state.State, group: data_parallel.ProcessGroup) -> None:
    """A checkpoint in `folder`."""
    folder.mkdir(exist_ok=True)
    state.save(training, folder, 9, writes=group.is_main)


def exchanges(group: data_parallel.DDPGroup, training: state.State, recipe: TrainConfig) -> int:
    """Count the gradient exchanges in one step."""
    calls = []

    def hook(_: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        calls.append(bucket.index())
        work = torch.distributed.all_reduce(bucket.buffer().div_(group.count), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    group.replica.register_comm_hook(None, hook)
    loader = Loader(tiny.data(), recipe, training.denoiser.process.draw, torch.device("cpu"), group)
    loop.train_step(training, loader.batches(0), recipe, group)
    return calls.count(0)


def main(folder: Path) -> None:
    """All checks that need company, in one start of the processes."""
    found: dict[str, Any] = {}
    with process_group() as (rank, count, gather), data_parallel.peer_loss_explained():
        training, group = replicas(rank, count)
        fit(training, group)
        leave(folder / "replicas", training, group)

        training, group = replicas(rank, count)
        fit(training, group, replace(TRAIN_CONFIG, accumulation=2))
        leave(folder / "accumulated", training, group)
        training, group = replicas(rank, count)
        found["exchanges"] = exchanges(group, training, replace(TRAIN_CONFIG, accumulation=4))

        training, group = replicas(rank, count)  # the last process alone is asked to stop

        def asked() -> bool:
            return group.all_reduce_max(int(rank == count - 1 and training.step == STOPPED_AT)) > 0

        try:
            fit(training, group, save=lambda now: leave(folder / "stopped", now, group), should_stop=asked)
        except loop.TrainingStopped:
            found["stopped"] = [int(each[0]) for each in gather(torch.tensor([training.step]).numpy())]

        training, group = replicas(rank, count)
        if rank == count - 1:
            next(training.denoiser.parameters()).data.fill_(math.nan)
        try:
            fit(training, group)
        except loop.NotFiniteError as error:
            found["not_finite"] = str(error)
        found["all_saw_it"] = [int(each[0]) for each in gather(torch.tensor(["not_finite" in found]).int().numpy())]

        found["measured"] = [measured(*make(rank, count)) for make in (replicas, shards)]
        divided, shared = shards(rank, count)
        fit(divided, shared, heldout=heldout())
        leave(folder / "shards_measured", divided, shared)
        found["all_measured"] = [
            float(each[0]) for each in gather(torch.tensor([divided.history[-1]["heldout_loss"]]).numpy())
        ]

        divided, shared = shards(rank, count)
        sizes = [local_tensor(each).numel() for each in divided.denoiser.parameters()]
        found["shares"] = [int(each[0]) for each in gather(torch.tensor([sum(sizes)]).numpy())]
        fit(divided, shared, save=lambda now: leave(folder / "shards", now, shared))
        divided, shared = shards(rank, count)
        state.restore(divided, folder / "stopped")
        fit(divided, shared)
        leave(folder / "shards_resumed", divided, shared)

        for name, make in (("consistency_replicas", replicas), ("consistency_shards", shards)):
            trained, shared = make(rank, count, objective=tiny.distilling(CONFIG))
            fit(trained, shared, SHORT)
            leave(folder / name, trained, shared)

        for name, make in (("muon_replicas", replicas), ("muon_shards", shards)):
            trained, shared = make(rank, count, "muon")
            fit(trained, shared)
            leave(folder / name, trained, shared)
        trained, shared = shards(rank, count, "muon")
        with contextlib.suppress(loop.TrainingStopped):
            fit(
                trained, shared, save=lambda now: leave(folder / "muon_stopped", now, shared),
                should_stop=lambda: trained.step == STOPPED_AT,
            )  # fmt: skip
        shared.barrier()  # the first process has written it
        trained, shared = shards(rank, count, "muon")
        state.restore(trained, folder / "muon_stopped")
        fit(trained, shared)
        leave(folder / "muon_resumed", trained, shared)

        tiny.draw(folder / "model", folder / "drawn", SAMPLE, shard=Shard(rank, count, gather))
        if rank == 0:
            files.write_json(folder / "found.json", found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
