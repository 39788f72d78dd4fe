"""Sampling with the same network by this project and by diffusers' DDIM pipeline: images and evaluations per second.

    python bench/sampling.py

Both draw with equal weights, sampler, number of levels and batch, so they do equal arithmetic; one evaluation per level
and image. They run in turns of changing order; ratios are formed turn by turn and given with 95 % intervals.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import paired
import published
import torch
from diffusers import DDIMPipeline, DDIMScheduler

from ddpm.exchange import weights
from ddpm.model import build, checkpoint
from ddpm.model.config import ModelConfig
from ddpm.sampling import generate


def samplers(levels: int, batch: int) -> dict[str, Callable[[], object]]:
    """Functions that draw one batch each."""
    config = ModelConfig.from_json(published.CONFIG)
    denoiser = build.denoiser(config).requires_grad_(requires_grad=False).eval()
    model = checkpoint.Model(denoiser, config, "")
    net = published.diffusers_unet()
    net.load_state_dict(weights.theirs(denoiser.net.state_dict()))
    pipeline = DDIMPipeline(net.eval(), DDIMScheduler(published.STEPS))
    pipeline.set_progress_bar_config(disable=True)
    options = generate.Sampling(sampler="ddim", steps=levels, spacing="uniform")
    return {
        "this project": lambda: generate.generate(model, batch, options, batch=batch),
        "diffusers": lambda: pipeline(batch_size=batch, num_inference_steps=levels, output_type="np"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--levels", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    draw = samplers(chosen.levels, chosen.batch)
    elapsed: dict[str, list[float]] = {name: [] for name in draw}
    cpu: dict[str, list[float]] = {name: [] for name in draw}
    for each in draw.values():
        each()
    for turn in range(chosen.turns):
        for name in list(draw)[:: 1 if turn % 2 == 0 else -1]:
            started, used = time.perf_counter(), time.process_time()
            draw[name]()
            elapsed[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {chosen.levels} levels, batch {chosen.batch}")
    for name, times in elapsed.items():
        rate = chosen.batch / statistics.median(times)
        print(f"{name:14} {rate:7.2f} images/s  {rate * chosen.levels:7.1f} evaluations/s")
    ratios = (paired.text(rows["diffusers"], rows["this project"]) for rows in (elapsed, cpu))
    print("this project / diffusers: {}, CPU time {}".format(*ratios))


if __name__ == "__main__":
    main()
