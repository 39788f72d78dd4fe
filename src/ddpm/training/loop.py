"""Training loop, a function of (parameters, data, step). Progress is counted in images.

Data order, noise, label dropout and dropout depend only on (seed, step), so an interrupted and resumed run produces
bit-identical weights. With several processes, each computes its part of the batch that a single process would see.
"""

import contextlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ddpm.diffusion import conditioning
from ddpm.runtime import randomness
from ddpm.runtime.device import autocast
from ddpm.runtime.sharded_tensors import full_tensor, local_tensor
from ddpm.training import snapshots
from ddpm.training.batches import EpochSampler, TrainingSet, batches
from ddpm.training.config import TrainConfig
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from ddpm.training.heldout_loss import HeldoutLoss
from ddpm.training.state import State


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the message gives step and sigma."""


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
    order, kept = EpochSampler(config.seed, len(data.indices)), set(config.snapshot_steps)
    while state.step < config.steps:
        if should_stop():
            save(state)
            raise TrainingStopped(f"stopped at image {state.step * config.batch}; the state is saved")
        loss, norm = train_step(state, data, config, order, group)
        images = state.step * config.batch
        if state.step in kept:
            snapshot(state)
        state.losses.append(loss)
        if config.passes(config.log_every, state.step) or state.step == config.steps:
            mean_loss = math.fsum(state.losses) / len(state.losses)
            row = {"images": images, "loss": mean_loss, "lr": learning_rate(config, images), "grad_norm": norm}
            if heldout and heldout.due(state.step):
                row |= heldout.measure(state, group)
            state.history.append(row)
            state.losses.clear()
            log(images, {key: value for key, value in row.items() if key != "images"})
        if config.passes(config.sample_every, state.step) or state.step == config.steps:
            preview(images, state)
        if config.passes(config.checkpoint_every, state.step) and state.step < config.steps:
            save(state)
    save(state)


def train_step(
    state: State, data: TrainingSet, config: TrainConfig, order: EpochSampler, group: ProcessGroup = SINGLE_PROCESS
) -> tuple[float, float]:
    """Take one optimiser step; return its mean loss and the gradient norm before clipping. Raises NotFiniteError."""
    denoiser, optimizer = state.denoiser, state.optimizer
    where = denoiser.sigmas.device
    denoiser.train()
    # dropout draws from the global generator
    torch.manual_seed(randomness.key_seed(config.seed, "dropout", state.step, *group.dropout_key()))
    for param_group in optimizer.param_groups:
        param_group["lr"] = learning_rate(config, state.step * config.batch) * param_group.get("lr_factor", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss_of = group.loss(denoiser)
    total, seen = 0.0, []
    for number, (x, u, noise, labels) in enumerate(batches(data, config, order, state.step, group), start=1):
        last = number == config.accumulation
        sigma = denoiser.process.draw(u).to(where)
        x = x.to(where)  # noqa: PLW2901  # the batch, on the network's device
        condition = conditioning.low_resolution(x, config.condition_scale) if config.condition_scale else None
        with contextlib.nullcontext() if last else group.no_sync():
            with autocast(where, config.precision):
                losses = loss_of(
                    x, sigma, noise.to(where), None if labels is None else labels.to(where), config.weighting, condition
                )
            loss = losses.mean() / config.accumulation
            total += loss.item()
            seen.append((losses.detach(), sigma))
            if last:
                total = group.all_reduce_mean(total)  # not finite in any process: all stop together
            if not math.isfinite(total) and (last or group.count == 1):
                all_losses, all_sigmas = (group.all_gather(torch.cat(each)) for each in zip(*seen, strict=True))
                raise NotFiniteError(_where_not_finite(all_losses, all_sigmas, state.step))
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    norm = full_tensor(torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip)).item()
    if not math.isfinite(norm):
        raise NotFiniteError(
            f"the gradient is not finite at step {state.step} (sigma from {sigma.min():.3g} to {sigma.max():.3g}). "
            "Lower train.lr or train.clip, or use precision fp32."
        )
    optimizer.step()
    state.step += 1
    update_ema(state, config)
    snapshots.update(state)
    return total, norm


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
    current = state.denoiser.state_dict()
    names = list(state.ema)
    averages, weights = ([local_tensor(each[name]) for name in names] for each in (state.ema, current))
    torch._foreach_lerp_(averages, weights, weight)


def _where_not_finite(losses: Tensor, sigmas: Tensor, step: int) -> str:
    bad = [
        f"{sigma:.4g}" for loss, sigma in zip(losses.tolist(), sigmas.tolist(), strict=True) if not math.isfinite(loss)
    ]
    return (
        f"the loss is not finite at step {step}, for sigma {', '.join(bad[:5])}. "
        "Lower train.lr or train.clip, or use precision fp32."
    )
