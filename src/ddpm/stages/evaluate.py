"""Stage evaluate: scores and pictures of the samples."""

import os
from pathlib import Path

from ddpm.stages import run

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, SCORES = Path("out/evaluate/metrics.json"), Path("out/evaluate/scores.json")
PICTURES = Path("out/evaluate/pictures")


def main() -> None:
    """Score out/sample and draw the pictures; under torchrun, processes share the scores."""
    from ddpm.common import files, terminal
    from ddpm.common.units import score_number
    from ddpm.config import params
    from ddpm.data import prepared
    from ddpm.evaluation import history, reference, score_folder
    from ddpm.evaluation.score_record import fid_name
    from ddpm.metrics.shards import Shard
    from ddpm.report import evaluation_pictures
    from ddpm.runtime.device import evaluation_device
    from ddpm.runtime.process_group import process_group

    settings = params.load().evaluate
    extractor, real = reference.load(device=evaluation_device(os.environ.get("DDPM_DEVICE", "auto")))
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made from other images than out/prepare holds. Run `dvc repro features`.")
    with (
        process_group() as (rank, count, gather),
        score_folder.extracted(SAMPLE, extractor, real, Shard(rank, count, gather)) as samples,
    ):
        metrics = score_folder.score(samples, extractor, real, data, splits=settings.splits, blocks=settings.blocks)
        if rank == 0:
            metrics |= history.generalisation(TRAIN / "history.csv")
            evaluation_pictures.write(
                PICTURES, samples, extractor, data, metrics, TRAIN, grid=settings.grid, neighbours=settings.neighbours
            )
            files.write_json(METRICS, metrics)
            files.write_json(SCORES, score_folder.comparable(metrics))
            floor = f"real images {score_number(metrics['fid_equal_counts'])}"
            fid = f"{fid_name(metrics['conditions'])} {score_number(metrics['fid'])} ({floor})"
            terminal.echo(f"evaluate: {fid}; `ddpm report` makes the page")


if __name__ == "__main__":
    run(main, shared=True)
