"""Training images per second and model FLOP utilisation on this machine's GPU, compared with diffusers' loop.

    pip install '.[peers]'
    python bench/gpu.py                          # a table for docs/results.md
    python bench/gpu.py --nets cifar10 --no-compile --precision fp32

Nets: the default recipe, the DDPM of CIFAR-10 (Ho et al. 2020) and one of the size of EDM's (Karras et al. 2022), each
with its usual batch. This project trains as the train stage does; diffusers trains a `UNet2DModel` of the same widths
in the loop of its own example. Both use the same precision and torch.compile, and take turns. Utilisation counts three
forward passes of arithmetic for an image, over the dense bf16 peak of the GPU. Data are random: speed does not depend
on them. Without a GPU the exit status is 3; `--device cpu --nets tiny` tries the program out.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ddpm.config import params
from ddpm.runtime.device import autocast, choose_device, deterministic
from ddpm.training import batches, loop
from ddpm.training.setup import checkpoint_config, new_state, train_config

NO_GPU = 3
PASSES = 3
"""Forward passes that cost as much arithmetic as one forward and one backward pass."""
PEAKS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "L4": 121, "4090": 165, "3090": 71}
"""Dense bf16 peak in TFLOP/s by a part of the GPU's name, from the makers' data sheets. Others: `--peak`."""
IMAGES = 4096


@dataclass(frozen=True)
class Net:
    """A U-Net and how it is trained.

    attention: sides with self-attention. patch: side of the pixel blocks folded into channels at the input; the peer is
    given images of that form.
    """

    side: int
    image_channels: int
    batch: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    head_channels: int
    groups: int = 32
    patch: int = 1
    scale_shift: bool = True


NETS = {
    "default": Net(28, 1, 32, 32, (1, 2), 1, (7,), 32, groups=8, patch=2),
    "cifar10": Net(32, 3, 128, 128, (1, 2, 2, 2), 2, (16,), 256, scale_shift=False),
    "edm": Net(32, 3, 512, 128, (2, 2, 2), 4, (16,), 64),
    "tiny": Net(8, 1, 4, 8, (1, 2), 1, (4,), 8, groups=4),
}


@dataclass
class Contestant:
    """A training step, what prepares torch for it, its parameters, and its forward arithmetic in FLOP per image."""

    step: Callable[[], object]
    prepare: Callable[[], None]
    parameters: int
    flop: float


def ours(net: Net, where: torch.device, precision: str, compiled: bool) -> Contestant:
    """This project's net in its own loop, with the kernels of the train stage."""
    settings = params.parse(
        {
            "prepare": {"resolution": net.side, "channels": net.image_channels, "labels": "none"},
            "features": {"extractor": "efficientnet-lite0"},
            "net": {
                "kind": "unet", "channels": net.channels, "multipliers": list(net.multipliers), "blocks": net.blocks,
                "attention": list(net.attention), "head_channels": net.head_channels, "groups": net.groups,
                "patch": net.patch, "scale_shift": net.scale_shift,
            },
            "train": {
                "images": 10**9, "batch": net.batch, "precision": precision, "compile": compiled, "warmup": 0,
                "label_dropout": 0.0, "snapshots": 0,
            },
            "sample": {"guidance": 1.0, "guidance_interval": None},
            "promote": {"min_class_share": None, "min_class_skill": None},
        },
        complete=False,
    )  # fmt: skip
    image = {"resolution": net.side, "channels": net.image_channels, "classes": []}
    training = new_state(checkpoint_config(settings, image), settings.train, where)
    recipe = train_config(settings)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, net.side, net.side, net.image_channels), dtype=np.uint8)
    data = batches.in_memory(pixels, np.zeros(IMAGES, np.int64), np.arange(IMAGES), 0, where)
    loader = batches.Loader(data, recipe, training.denoiser.process.draw, where)

    def step() -> object:
        return loop.train_step(training, loader.batches(training.step), recipe)

    network = training.denoiser.net
    sample = torch.zeros(1, net.image_channels, net.side, net.side, device=where)
    return Contestant(step, deterministic, _count(network), _flop(lambda: network(sample, sample.new_zeros(1), None)))


def diffusers(net: Net, where: torch.device, precision: str, compiled: bool) -> Contestant:
    """`UNet2DModel` of the same widths in the loop of diffusers' unconditional training example."""
    from diffusers import DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel

    side, image_channels = net.side // net.patch, net.image_channels * net.patch**2
    sides = [side // 2**level for level in range(len(net.multipliers))]
    attends = [side in net.attention for side in sides]
    model = UNet2DModel(
        sample_size=side, in_channels=image_channels, out_channels=image_channels,
        block_out_channels=[net.channels * each for each in net.multipliers], layers_per_block=net.blocks,
        down_block_types=["AttnDownBlock2D" if each else "DownBlock2D" for each in attends],
        up_block_types=["AttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends)],
        attention_head_dim=net.head_channels, norm_num_groups=net.groups,
    ).to(where)  # fmt: skip
    call: Any = torch.compile(model) if compiled else model
    scheduler, average = DDPMScheduler(1000), EMAModel(model.parameters(), decay=0.9999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0)
    images = torch.rand(IMAGES, image_channels, side, side, device=where) * 2 - 1

    def step() -> object:
        clean = images[torch.randint(0, IMAGES, (net.batch,), device=where)]
        noise, times = torch.randn_like(clean), torch.randint(0, 1000, (net.batch,), device=where)
        with autocast(where, precision):
            output = call(scheduler.add_noise(clean, noise, times), times).sample
        loss = torch.nn.functional.mse_loss(output.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(model.parameters())
        return loss.item()  # its example logs the loss of every step

    def prepare() -> None:
        torch.set_deterministic_debug_mode("default")
        torch.backends.cudnn.benchmark = True

    return Contestant(step, prepare, _count(model), _flop(lambda: model(images[:1], 0)))


CONTESTANTS: dict[str, Callable[[Net, torch.device, str, bool], Contestant]] = {
    "this project": ours,
    "diffusers": diffusers,
}


def seconds(contestant: Contestant, steps: int, where: torch.device) -> float:
    """Time some steps, the device's work included."""
    contestant.prepare()
    _finish(where)
    started = time.perf_counter()
    for _ in range(steps):
        contestant.step()
    _finish(where)
    return time.perf_counter() - started


def rows(name: str, where: torch.device, asked: argparse.Namespace, peak: float | None) -> list[str]:
    """Measure one net; return the rows of the table."""
    net = NETS[name]
    contestants = {
        who: make(net, where, asked.precision, asked.compile) for who, make in CONTESTANTS.items() if who in asked.who
    }
    for contestant in contestants.values():
        seconds(contestant, asked.warmup, where)
    rates: dict[str, list[float]] = {who: [] for who in contestants}
    for _ in range(asked.turns):
        for who, contestant in contestants.items():
            rates[who].append(asked.steps * net.batch / seconds(contestant, asked.steps, where))
    found = []
    for who, contestant in contestants.items():
        rate = statistics.median(rates[who])
        used = f"{PASSES * contestant.flop * rate / (peak * 1e12):.1%}" if peak else "unknown"
        span = f"{rate:,.0f} [{min(rates[who]):,.0f}-{max(rates[who]):,.0f}]"
        size, work = f"{contestant.parameters / 1e6:.2f} M", f"{contestant.flop / 1e9:.3f}"
        found.append(f"| {name} | {who} | {size} | {work} | {net.batch} | {span} | {used} |")
    return found


def main() -> None:
    """Measure the nets in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=["default", "cifar10", "edm"])
    parser.add_argument("--who", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", type=int, default=50, help="optimiser steps in a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=10, help="steps before the first turn; the first one compiles")
    parser.add_argument("--peak", type=float, help="dense bf16 peak of the device in TFLOP/s")
    asked = parser.parse_args()
    try:
        where = choose_device(asked.device)
    except ValueError as error:
        print(f"bench/gpu.py measures a GPU: {error}", file=sys.stderr)
        sys.exit(NO_GPU)
    device = torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"
    peak = asked.peak or next((peak for part, peak in PEAKS.items() if part in device), None)
    kind = f"{asked.precision}, {'compiled' if asked.compile else 'not compiled'}"
    print(f"{device}, torch {torch.__version__}, {kind}, {asked.turns} turns of {asked.steps} steps\n")
    print("| net | loop | parameters | GFLOP/image, forward | batch | images/s, median [range] | FLOP utilisation |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    for name in asked.nets:
        print("\n".join(rows(name, where, asked, peak)), flush=True)


def _finish(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def _count(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _flop(forward: Callable[[], object]) -> float:
    """Operations of one forward pass, uncompiled; a multiplication with its addition counts as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter, torch.compiler.set_stance("force_eager"):
        forward()
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main()
