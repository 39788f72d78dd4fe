"""A training as a job: resumed from its newest checkpoint, recorded, and written to out/train."""

import csv
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from ddpm.common import files, terminal
from ddpm.common.progress import Progress, progress
from ddpm.config import params
from ddpm.data import prepared
from ddpm.model import build, checkpoint
from ddpm.provenance import fingerprint
from ddpm.runtime.device import choose_device, deterministic
from ddpm.runtime.process_group import process_group
from ddpm.runtime.sharded_tensors import full_tensor
from ddpm.sampling import generate
from ddpm.sampling.to_folder import small_heldout
from ddpm.tracking import Tracker, changes, lineage, machine
from ddpm.training import data_parallel, loop, setup, state
from ddpm.training.stopping import StopRequest

OUT = Path("out/train")
STATE = Path(".state/train")
SHARING = {"processes", "sharding"}
"""Parameters of who computes, not of what: another number of processes resumes the same training."""


def train(settings: params.Params, stop: StopRequest, device: str) -> None:
    """Train to the end of the budget, in each process of the training.

    Raises loop.TrainingStopped, after saving, if `stop` was requested; ValueError for parameters that do not fit.
    """
    dataset = prepared.load(verify=os.environ.get("RANK", "0") == "0")
    classes = dataset.classes if settings.prepare.labels == "folders" else ()
    config = setup.checkpoint_config(settings, dataset.resolution, dataset.channels, classes)
    initial = Path(settings.train.initial) if settings.train.initial else None
    if initial:
        config["initial_sha256"] = checkpoint.fitting(initial, config)
    config["digest"] = state.digest(
        {"config": config, "train": settings.train.model_dump(mode="json", exclude=SHARING)},
        dataset.sha256,
        fingerprint.code_digest("train"),
    )
    with process_group() as (rank, count, _), data_parallel.together():
        setup.require_possible(settings, count)
        recipe, where = setup.recipe_of(settings), choose_device(device)
        deterministic()
        training = setup.new_state(config, settings.train, where, initial)
        group = setup.make_group(training, settings.train, rank, count)
        data = loop.in_memory(dataset.images, dataset.labels, dataset.train_indices, len(classes), where)
        job = Job(training, data, recipe, config, STATE / config["digest"], settings, group, stop)
        try:
            if group.leads:
                lead(job, where)
            else:
                follow(job)
        except loop.TrainingStopped:
            group.wait()  # torchrun ends all when the first one ends
            raise
        group.wait()


@dataclass(frozen=True)
class Job:
    """One training and all that surrounds it."""

    training: state.State
    data: loop.Data
    recipe: loop.Recipe
    config: dict[str, Any]
    folder: Path
    settings: params.Params
    team: data_parallel.Team
    stop: StopRequest

    def resume(self) -> bool:
        """Go on from the newest checkpoint, in every process from the same one. False when there is none."""
        self.team.wait()  # the first process holds the folder
        return state.restore(self.training, self.folder)

    def fit(self, log: Callable[[int, dict[str, float]], None], picture: Callable[[int, Any], None]) -> None:
        """`train.fit`, with its checkpoints on disk. picture: called with a number of images and a grid of samples."""
        keep, leads = self.settings.train.keep, self.team.leads

        def preview(images: int, now: state.State) -> None:
            average = {name: full_tensor(tensor) for name, tensor in now.average.items()}
            if leads:
                picture(images, preview_grid(average, self.config, self.settings.sample))

        loop.fit(
            self.training,
            self.data,
            self.recipe,
            log=log,
            preview=preview,
            save=lambda now: state.save(now, self.folder, keep, writes=leads),
            should_stop=lambda: self.stop.agreed(self.team),
            team=self.team,
        )


def follow(job: Job) -> None:
    """The part of any process but the first: it computes, and writes nothing."""
    job.resume()
    job.fit(log=lambda images, values: None, picture=lambda images, grid: None)
    write_outputs(job.training, job.config, writes=False)


def lead(job: Job, where: torch.device) -> None:
    """Train with a record and progress, and checkpoints that nobody else writes."""
    recipe, digest = job.recipe, job.config["digest"]
    with state.owned(job.folder):
        state.prune_digests(STATE, digest)
        if job.resume():
            terminal.echo(f"train: resuming at image {job.training.step * recipe.batch:,} of {recipe.images:,}")
        tracker = Tracker(digest)
        changed = changes()
        if changed.refused:
            terminal.echo(f"train: cannot be reproduced from its record: {changed.refused}")
        machinery = machine(str(where)) | ({"ddpm.processes": str(job.team.count)} if job.team.count > 1 else {})
        tracker.start(params.flatten(job.settings), lineage(changed) | machinery, changed.content)
        try:
            with progress("train", recipe.steps * recipe.batch, "images") as shown:
                shown.start_at(job.training.step * recipe.batch)
                record(job, tracker, shown)
        except loop.TrainingStopped as stopped:
            tracker.finish("KILLED")
            terminal.echo(f"train: {stopped}. Run the same command to go on.")
            raise
        except BaseException:
            tracker.finish("FAILED")
            raise
        write_outputs(job.training, job.config)
        tracker.finish("FINISHED")


def record(job: Job, tracker: Tracker, shown: Progress) -> None:
    """Train, and tell the tracker and the person who waits."""
    process = psutil.Process()

    def log(images: int, values: dict[str, float]) -> None:
        shown.advance(images - shown.done, f"loss {values['loss']:.4f}")
        cost = {"images_per_second": shown.rate(), "memory_gib": process.memory_info().rss / 2**30}
        tracker.metrics(images, values | cost)

    job.fit(log, lambda images, grid: tracker.picture("samples", grid, images))


def preview_grid(average: dict[str, torch.Tensor], config: dict[str, Any], sample: params.Sample) -> Any:
    """A few samples of the averaged weights, as one picture: (H, W, C) uint8."""
    denoiser = build.denoiser(config)
    denoiser.load_state_dict(average)
    count = max(len(config["image"]["classes"]), 8)
    steps = min(sample.steps, config["diffusion"]["steps"])
    known, labels = small_heldout(config, 4 * count)
    images = generate.generate(
        checkpoint.Model(denoiser, config, ""), 4 * count, generate.Sampling(steps=steps), labels=labels, known=known,
        batch=4 * count,
    )  # fmt: skip
    rows = images.reshape(4, count, *images.shape[1:])
    return rows.transpose(0, 2, 1, 3, 4).reshape(4 * images.shape[1], count * images.shape[2], -1)


def write_outputs(training: state.State, config: dict[str, Any], *, writes: bool = True) -> None:
    """The checkpoint and the history, which holds no times: equal trainings write equal bytes.

    writes: as in `state.save`.
    """
    average, raw = (
        {name: full_tensor(tensor) for name, tensor in each.items()}
        for each in (training.average, training.denoiser.state_dict())
    )
    if not writes:
        return
    table = io.StringIO()
    writer = csv.DictWriter(table, ["images", "loss", "lr", "grad_norm"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in training.history)
    checkpoint.save(OUT / "model", config, average, raw)
    files.write_text(OUT / "history.csv", table.getvalue())
