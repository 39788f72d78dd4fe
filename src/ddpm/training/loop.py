"""Training loop, a function of (parameters, data, step). Progress is counted in images.

Data order, noise, label dropout and dropout depend only on (seed, step), so an interrupted and resumed run produces
bit-identical weights. With several processes, each computes its part of the batch that a single process would see.

A step never waits for its device. Losses and gradient norms stay there until a log point, a snapshot, a preview or a
checkpoint needs them; one that is not finite ends the training there, before anything is written.
"""

import contextlib
import math
from collections.abc import Callable, Iterable

import torch

from ddpm.diffusion import conditioning
from ddpm.runtime import randomness
from ddpm.runtime.device import autocast
from ddpm.runtime.sharded_tensors import full_tensor
from ddpm.training import snapshots
from ddpm.training.batches import Batch, Loader, TrainingSet
from ddpm.training.config import TrainConfig
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from ddpm.training.heldout_loss import HeldoutLoss
from ddpm.training.state import State
from ddpm.training.unread import NotFiniteError, StepValues, UnreadSteps

__all__ = ["NotFiniteError", "TrainingStopped", "fit", "learning_rate", "train_step", "update_ema"]


class TrainingStopped(Exception):  # noqa: N818  # no error: it was asked for
    """Training stopped on request, after saving its state."""


def fit(
    state: State,
    data: TrainingSet,
    config: TrainConfig,
    *,
    log: Callable[[int, dict[str, float]], None],
    preview: Callable[[int, State], None],
    save: Callable[[State], None],
    should_stop: Callable[[], bool],
    snapshot: Callable[[State], None] = lambda state: None,
    group: ProcessGroup = SINGLE_PROCESS,
    heldout: HeldoutLoss | None = None,
) -> None:
    """Train in place from `state.step` to the end of the budget.

    log(images, values), preview(images, state) and save(state) are callbacks at the configured intervals; save is also
    called at the end and before TrainingStopped is raised because `should_stop()` returned True. snapshot(state) is
    called at the snapshot steps, before save. Every process of the group calls them at the same step. heldout: measured
    at some of the log points, without effect on the training. Raises NotFiniteError in every process.
    """
    config.require_shares(group.count)
    kept, where = set(config.snapshot_steps), state.denoiser.sigmas.device
    unread = UnreadSteps(group)
    with Loader(data, config, state.denoiser.process.draw, where, group) as loader:
        while state.step < config.steps:
            if should_stop():
                state.losses += unread.read()
                save(state)
                raise TrainingStopped(f"stopped at image {state.step * config.batch}; the state is saved")
            unread.add(train_step(state, loader.batches(state.step), config, group))
            images, last = state.step * config.batch, state.step == config.steps
            logs, previews, saves = (
                config.passes(every, state.step)
                for every in (config.log_every, config.sample_every, config.checkpoint_every)
            )
            if last or logs or previews or saves or state.step in kept:
                state.losses += unread.read()
            if state.step in kept:
                snapshot(state)
            if logs or last:
                _log(state, config, unread.norm, log, heldout, group)
            if previews or last:
                preview(images, state)
            if saves and not last:
                save(state)
    save(state)


def train_step(
    state: State, batches: Iterable[Batch], config: TrainConfig, group: ProcessGroup = SINGLE_PROCESS
) -> StepValues:
    """Take one optimiser step; return its loss and the gradient norm before clipping, which may not be finite.

    batches: the micro-batches of the step. Does not wait for the device.
    """
    denoiser, optimizer = state.denoiser, state.optimizer
    where = denoiser.sigmas.device
    denoiser.train()
    # dropout draws from the global generator
    torch.manual_seed(randomness.key_seed(config.seed, "dropout", state.step, *group.dropout_key()))
    for param_group in optimizer.param_groups:
        param_group["lr"] = learning_rate(config, state.step * config.batch) * param_group.get("lr_factor", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss_of = group.loss(denoiser, state.objective)
    seen = []
    for number, (x, sigma, noise, labels) in enumerate(batches, start=1):
        condition = conditioning.low_resolution(x, config.condition_scale) if config.condition_scale else None
        with contextlib.nullcontext() if number == config.accumulation else group.no_sync():
            with autocast(where, config.precision):
                losses = loss_of(x, sigma, noise, labels, config.weighting, condition)
            loss = losses.mean() / config.accumulation
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        seen.append((losses.detach(), sigma))
    norm = full_tensor(torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip))
    optimizer.step()
    state.step += 1
    update_ema(state, config)
    snapshots.update(state)
    all_losses, all_sigmas = (torch.cat(each) for each in zip(*seen, strict=True))
    return StepValues(state.step - 1, all_losses.mean(), norm, all_losses, all_sigmas)


def _log(
    state: State,
    config: TrainConfig,
    norm: float,
    log: Callable[[int, dict[str, float]], None],
    heldout: HeldoutLoss | None,
    group: ProcessGroup,
) -> None:
    """Add a row to the history: mean loss since the last row, learning rate, last gradient norm, held-out loss."""
    images = state.step * config.batch
    mean_loss = math.fsum(state.losses) / len(state.losses)
    row = {"images": images, "loss": mean_loss, "lr": learning_rate(config, images), "grad_norm": norm}
    if heldout and heldout.due(state.step):
        row |= heldout.measure(state, group)
    state.history.append(row)
    state.losses.clear()
    log(images, {key: value for key, value in row.items() if key != "images"})


def learning_rate(config: TrainConfig, images: int) -> float:
    """Linear warm-up, constant, then linear decay to zero over the last `decay` fraction of the run."""
    rise = min(1.0, (images + config.batch) / config.warmup) if config.warmup else 1.0
    left = (config.steps * config.batch - images) / (config.steps * config.batch)
    fall = min(1.0, left / config.decay) if config.decay else 1.0
    return config.lr * min(rise, fall)


@torch.no_grad()
def update_ema(state: State, config: TrainConfig) -> None:
    """Update the exponential moving average of the weights.

    The horizon, in images, is a tenth of those seen, at most `config.ema`, so that a short run forgets its initial
    weights too.
    """
    horizon = min(config.ema, state.step * config.batch / 10)
    weight = 1 - math.exp(-config.batch / horizon) if horizon else 1.0
    torch._foreach_lerp_(state.tracked.ema, state.tracked.weights, weight)
