"""Stage sample: images from a checkpoint."""

import os
from pathlib import Path

from ddpm.stages import run

MODEL, OUT = Path("out/train/model"), Path("out/sample")


def main() -> None:
    """Sample `sample.count` images, and a strip of the denoising of a few; under torchrun, processes share the work."""
    from ddpm.config import params
    from ddpm.data import order, prepared
    from ddpm.metrics.shards import Shard
    from ddpm.runtime.process_group import process_group
    from ddpm.sampling.to_folder import sample_to_folder

    sample = params.load().sample
    with process_group() as (rank, count, gather):
        sample_to_folder(
            MODEL,
            OUT,
            sample.sampling,
            **sample.drawing,
            class_weights=order.class_weights(prepared.load()),
            device=os.environ.get("DDPM_DEVICE", "auto"),
            shard=Shard(rank, count, gather),
        )


def processes() -> int:
    """Return the number of processes, the same as for training."""
    from ddpm.config import params
    from ddpm.runtime import torchrun

    return torchrun.processes(params.load().train.processes, os.environ.get("DDPM_DEVICE", "auto"))


if __name__ == "__main__":
    run(main, shared=True, processes=processes)
