"""Training images per second: this project beside its peers, at equal parameters and arithmetic per image.

    pip install '.[peers]'
    python bench/throughput.py

Every contestant trains a U-Net of about 1.6 million parameters on 1x32x32 images in float32, batch 64, each with the
loop its own project recommends: draw noise, one optimiser step of Adam(W), gradient clipping, weight average. They run
in turns of changing order, a block of steps each, so that a slow moment of the machine meets all of them; the ratios
are formed turn by turn and given with 95 % intervals. The data are random numbers: throughput does not depend on them.

This project runs as its train stage does, with deterministic kernels, which the others do without. All share the
stage's setting of the memory allocator, since it belongs to the process; `--default-allocator` leaves it alone for all.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paired
import published
import torch
from published import SIDE, STEPS
from torch.utils.flop_counter import FlopCounterMode

from ddpm.model import build
from ddpm.model.config import ModelConfig
from ddpm.runtime.allocator import keep_freed_memory
from ddpm.runtime.device import channels_last, deterministic
from ddpm.training import batches, loop, optimizers, state
from ddpm.training.config import TrainConfig

BATCH = 64


@dataclass
class Contestant:
    """One project's training step, its size, and its arithmetic for one image (forward pass, in 10^9 operations)."""

    step: Callable[[], None]
    parameters: int
    gflop: float


def ours() -> Contestant:
    """The published layout, as `ddpm.training.loop` trains it."""
    denoiser = build.denoiser(ModelConfig.from_json(published.CONFIG))
    channels_last(denoiser)
    optimizer = optimizers.optimizer(denoiser, "adamw", optimizers.Settings(lr=1e-4, weight_decay=0.0, beta2=0.999))
    ema = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    training = state.State(denoiser, ema, optimizer)
    images = np.random.default_rng(0).integers(0, 256, (2048, SIDE, SIDE, 1), dtype=np.uint8)
    data = batches.in_memory(images, np.zeros(2048, dtype=np.int64), np.arange(2048), 0, torch.device("cpu"))
    recipe = TrainConfig(
        seed=0, images=10**9, batch=BATCH, accumulation=1, lr=1e-4, warmup=0, decay=0.0, clip=1.0, ema=10**5,
        label_dropout=0.0, flip=False, precision="fp32", weighting="simple", condition_scale=0,
        log_every=1, sample_every=1, checkpoint_every=1,
    )  # fmt: skip
    loader = batches.Loader(data, recipe, denoiser.process.draw, torch.device("cpu"))
    sample = torch.zeros(1, 1, SIDE, SIDE)

    def step() -> None:
        deterministic()  # a setting of the process, so it is taken back for the others
        loop.train_step(training, loader.batches(training.step), recipe)
        torch.set_deterministic_debug_mode("default")

    return Contestant(
        step,
        count(denoiser.net),
        gflop(lambda: denoiser.net(sample, torch.zeros(1))),
    )


def diffusers() -> Contestant:
    """`UNet2DModel` of the same layout, in the loop of diffusers' unconditional training example."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    net = published.diffusers_unet()
    scheduler = DDPMScheduler(STEPS)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.0)
    average = EMAModel(net.parameters(), decay=0.9999)
    images = torch.rand(2048, 1, SIDE, SIDE) * 2 - 1

    def step() -> None:
        clean = images[torch.randint(0, 2048, (BATCH,))]
        noise, time_step = torch.randn_like(clean), torch.randint(0, STEPS, (BATCH,))
        output = net(scheduler.add_noise(clean, noise, time_step), time_step).sample
        loss = torch.nn.functional.mse_loss(output.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(net.parameters())
        loss.item()

    return Contestant(step, count(net), gflop(lambda: net(images[:1], 0)))


def lucidrains() -> Contestant:
    """denoising-diffusion-pytorch, in the loop of its own Trainer."""
    _without_torchvision()
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    net = Unet(dim=34, dim_mults=(1, 2, 2), channels=1, flash_attn=False)
    diffusion = GaussianDiffusion(net, image_size=SIDE, timesteps=STEPS, objective="pred_noise")
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)
    images = torch.rand(2048, 1, SIDE, SIDE)

    def step() -> None:
        loss = diffusion(images[torch.randint(0, 2048, (BATCH,))])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        loss.item()

    return Contestant(step, count(net), gflop(lambda: net(images[:1], torch.zeros(1))))


OURS = "this project"
Rows = dict[str, list[float]]  # seconds by contestant and turn
CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    OURS: ours,
    "diffusers": diffusers,
    "denoising-diffusion-pytorch": lucidrains,
}


def _without_torchvision() -> None:
    """Only the peer's image loader uses torchvision, which does not import beside a CPU build of torch."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for name in ("torchvision", "torchvision.transforms", "torchvision.utils"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
        sys.modules["torchvision"].utils = sys.modules["torchvision.utils"]


def count(net: torch.nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def gflop(forward: Callable[[], object]) -> float:
    """Operations of one forward pass, in 10^9 (a multiplication with its addition counts as two)."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return float(counter.get_total_flops()) / 1e9


def measure(contestants: dict[str, Contestant], turns: int, steps: int) -> tuple[Rows, Rows]:
    """Elapsed and CPU seconds of one step by contestant and turn."""
    elapsed: Rows = {name: [] for name in contestants}
    cpu: Rows = {name: [] for name in contestants}
    for turn in range(turns):
        for name in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            started, used = time.perf_counter(), time.process_time()
            for _ in range(steps):
                contestants[name].step()
            elapsed[name].append((time.perf_counter() - started) / steps)
            cpu[name].append((time.process_time() - used) / steps)
    return elapsed, cpu


def best(rows: Rows, names: Sequence[str]) -> list[float]:
    """Shortest time of any of `names`, turn by turn."""
    return [min(turn) for turn in zip(*(rows[name] for name in names), strict=True)]


def main() -> None:
    """Run the contestants in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--steps", type=int, default=3, help="optimiser steps in a turn")
    parser.add_argument("--peers", nargs="+", choices=list(CONTESTANTS)[1:], default=list(CONTESTANTS)[1:])
    parser.add_argument("--default-allocator", action="store_true", help="memory allocator as the system sets it")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    arguments = parser.parse_args()
    kept = not arguments.default_allocator and keep_freed_memory()
    torch.manual_seed(0)
    contestants = {name: CONTESTANTS[name]() for name in (OURS, *arguments.peers)}
    for contestant in contestants.values():
        for _ in range(2):
            contestant.step()
    elapsed, cpu = measure(contestants, arguments.turns, arguments.steps)
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, batch {BATCH}, {arguments.turns} turns of "
        f"{arguments.steps} steps, freed memory {'kept' if kept else 'returned'}"
    )
    for name, contestant in contestants.items():
        line = (
            f"{name:28} {contestant.parameters / 1e6:.2f} M parameters  {contestant.gflop:.2f} GFLOP  "
            f"median {BATCH / statistics.median(elapsed[name]):6.1f} images/s"
        )
        if name != OURS:
            times, used = (paired.text(rows[name], rows[OURS]) for rows in (elapsed, cpu))
            line += f"  this project is {times} times as fast, CPU time {used}"
        print(line)
    times, used = (paired.text(best(rows, arguments.peers), rows[OURS]) for rows in (elapsed, cpu))
    print(f"this project / best peer of each turn: {times}, CPU time {used}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"elapsed": elapsed, "cpu": cpu}, indent=2) + "\n")


if __name__ == "__main__":
    main()
