"""A training as a job: resumed from its newest checkpoint, recorded, and written to out/train."""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from ddpm.common import files, terminal
from ddpm.common.progress import Progress, progress
from ddpm.config import params
from ddpm.data import prepared
from ddpm.imaging.pixels import tile
from ddpm.metrics import loss_gap
from ddpm.model import build, checkpoint, power_ema
from ddpm.model.config import DENOISING, ImageConfig, ModelConfig
from ddpm.provenance import fingerprint
from ddpm.runtime.device import choose_device
from ddpm.runtime.process_group import process_group
from ddpm.runtime.sharded_tensors import gather_to_host
from ddpm.sampling import generate
from ddpm.sampling.to_folder import small_heldout
from ddpm.tracking import Tracker, changes, lineage, machine
from ddpm.training import batches, data_parallel, loop, setup, snapshots, state
from ddpm.training.batches import TrainingSet
from ddpm.training.config import TrainConfig
from ddpm.training.heldout_loss import HeldoutLoss
from ddpm.training.saver import Saver
from ddpm.training.stopping import StopRequest

OUT = Path("out/train")
STATE = Path(".state/train")
SHARING = {"processes", "sharding"}
"""Parameters without effect on the result: a training can be resumed with another number of processes."""


def train(settings: params.Params, stop: StopRequest, device: str) -> None:
    """Train to the end of the budget, in each process of the training.

    Raises loop.TrainingStopped, after saving, if `stop` was requested; ValueError for parameters that do not fit.
    """
    dataset = prepared.load(verify=os.environ.get("RANK", "0") == "0")
    classes = dataset.classes if settings.prepare.labels == "folders" else ()
    config = setup.checkpoint_config(settings, dataset.resolution, dataset.channels, classes)
    initial = Path(settings.train.initial) if settings.train.initial else None
    if initial:
        config = config.extended(initial_sha256=checkpoint.fitting(initial, config))
    digest = state.digest(
        {"config": config.source, "train": settings.train.model_dump(mode="json", exclude=SHARING)},
        dataset.sha256,
        fingerprint.code_digest("train"),
    )
    config = config.extended(digest=digest)
    with process_group() as (rank, count, _), data_parallel.peer_loss_explained():
        setup.require_possible(settings, count)
        train_config, where = setup.train_config(settings), choose_device(device)
        setup.set_kernels(settings.train, where)
        training = setup.new_state(config, settings.train, where, initial)
        group = setup.make_group(training, settings.train, rank, count)
        data, aside = _data(dataset, settings, config.image, where)
        heldout = HeldoutLoss(data, torch.from_numpy(dataset.heldout_indices), train_config)
        folder = STATE / digest
        job = Job(training, data, heldout, aside, train_config, config, folder, settings, group, stop)
        try:
            if group.is_main:
                _train_main(job, where)
            else:
                _train_worker(job)
        except loop.TrainingStopped:
            group.barrier()  # torchrun stops all processes when one exits
            raise
        group.barrier()


def _data(
    dataset: prepared.PreparedSet, settings: params.Params, image: ImageConfig, where: torch.device
) -> tuple[TrainingSet, torch.Tensor]:
    """Return the images to train on, and the indices of those that `train.ema: auto` sets aside (else none)."""
    indices = dataset.train_indices
    chosen = np.zeros(len(indices), dtype=np.bool_)
    if settings.train.ema == "auto":
        chosen = snapshots.set_aside(dataset.images, indices)
    data = batches.in_memory(
        dataset.images, dataset.labels, indices[~chosen], len(image.classes), where, image.domain.encode
    )
    return data, torch.from_numpy(indices[chosen])


@dataclass(frozen=True)
class Job:
    """A training with its data, configuration, checkpoints and process group.

    aside: indices of the images on which `train.ema: auto` chooses a length; else empty.
    """

    training: state.State
    data: TrainingSet
    heldout: HeldoutLoss
    aside: torch.Tensor
    train_config: TrainConfig
    config: ModelConfig
    folder: Path
    settings: params.Params
    group: data_parallel.ProcessGroup
    stop: StopRequest

    def resume(self) -> bool:
        """Resume from the newest checkpoint, the same one in every process. False when there is none."""
        self.group.barrier()  # until the first process has locked the folder
        return state.restore(self.training, self.folder)

    def fit(self, log: Callable[[int, dict[str, float]], None], picture: Callable[[int, Any], None]) -> None:
        """Run the loop, saving checkpoints to disk. picture: called with the images seen and a grid of samples."""
        keep, leads = self.settings.train.keep, self.group.is_main

        def preview(images: int, now: state.State) -> None:
            ema = gather_to_host(now.ema, keep=leads)
            if leads:
                picture(images, preview_grid(ema, self.config, self.settings.sample))

        with Saver(self.folder, keep, writes=leads) as saver:
            loop.fit(
                self.training,
                self.data,
                self.train_config,
                log=log,
                preview=preview,
                save=saver.save,
                should_stop=lambda: self.stop.agreed(self.group),
                snapshot=lambda now: snapshots.write(now, self.folder, writes=leads),
                group=self.group,
                heldout=self.heldout,
            )

    def finish(self) -> None:
        """Write the outputs; if `train.ema` is auto, choose the average first."""
        config, steps = self.config, self.train_config.snapshot_steps
        if self.settings.train.ema == "auto":
            self.group.barrier()  # until the first process has written all snapshots
            kept = power_ema.Snapshots(self.folder / state.SNAPSHOTS, steps)
            measurement = HeldoutLoss(self.data, self.aside, self.train_config)
            length, losses = snapshots.choose(
                self.training,
                kept,
                lambda now: measurement.measure(now, self.group)[loss_gap.column("heldout")],
            )
            tried = {f"{each:g}": loss for each, loss in losses.items()}
            config = config.extended(ema={"length": length, "losses": tried})
        write_outputs(self.training, config, writes=self.group.is_main)
        if steps and self.group.is_main:
            snapshots.publish(self.folder, steps, OUT / "ema", config.digest)


def _train_worker(job: Job) -> None:
    """Train in a process other than the first: compute, write nothing."""
    job.resume()
    job.fit(log=lambda images, values: None, picture=lambda images, grid: None)
    job.finish()


def _train_main(job: Job, where: torch.device) -> None:
    """Train in the first process: with record, progress and outputs."""
    train_config, digest = job.train_config, job.config.digest
    with state.owned(job.folder):
        state.prune_digests(STATE, digest)
        if job.resume():
            terminal.echo(
                f"train: resuming at image {job.training.step * train_config.batch:,} of {train_config.images:,}"
            )
        tracker = Tracker(digest)
        changed = changes()
        if changed.refused:
            terminal.echo(f"train: cannot be reproduced from its record: {changed.refused}")
        machinery = machine(str(where)) | ({"ddpm.processes": str(job.group.count)} if job.group.count > 1 else {})
        tracker.start(params.flatten(job.settings), lineage(changed) | machinery, changed.content)
        try:
            with progress("train", train_config.steps * train_config.batch, "images") as shown:
                shown.start_at(job.training.step * train_config.batch)
                record(job, tracker, shown)
        except loop.TrainingStopped as stopped:
            tracker.finish("KILLED")
            terminal.echo(f"train: {stopped}. Run the same command to resume.")
            raise
        except BaseException:
            tracker.finish("FAILED")
            raise
        job.finish()
        tracker.finish("FINISHED")


def record(job: Job, tracker: Tracker, shown: Progress) -> None:
    """Train, reporting to the tracker and the progress bar."""
    process = psutil.Process()
    warned = False

    def log(images: int, values: dict[str, float]) -> None:
        nonlocal warned
        shown.advance(images - shown.done, f"loss {values['loss']:.4f}")
        warning = loss_gap.rising(loss_gap.measured(job.training.history))
        if warning and not warned:
            warned = True
            terminal.echo(f"train: warning: {warning}")
        cost = {"images_per_second": shown.rate(), "memory_gib": process.memory_info().rss / 2**30}
        tracker.metrics(images, values | cost)

    job.fit(log, lambda images, grid: tracker.picture("samples", grid, images))


def preview_grid(ema: dict[str, torch.Tensor], config: ModelConfig, sample: params.Sample) -> Any:
    """Sample a grid of images with the EMA weights: (H, W, C) uint8."""
    denoiser = build.denoiser(config)
    denoiser.load_state_dict(ema)
    count = max(len(config.image.classes), 8)
    steps = min(sample.steps, config.diffusion.steps)
    low_res, labels = small_heldout(config, 4 * count)
    sampling = generate.Sampling(steps=steps)
    if config.objective != DENOISING:
        sampling = generate.Sampling(sampler=sample.sampler, steps=steps, spacing=sample.spacing)
    images = generate.generate(
        checkpoint.Model(denoiser, config, ""), 4 * count, sampling, labels=labels, low_res=low_res, batch=4 * count
    )
    return tile(images, count)


def write_outputs(training: state.State, config: ModelConfig, *, writes: bool = True) -> None:
    """Write the checkpoint and the history, which contains no times, so equal trainings write equal bytes.

    heldout_loss.csv repeats the rows with a measurement, because DVC plots an empty cell as 0. writes: as in
    `state.save`.
    """
    ema, raw = (gather_to_host(each, keep=writes) for each in (training.ema, training.denoiser.state_dict()))
    if not writes:
        return
    checkpoint.save(OUT / "model", config, ema, raw)
    columns = ["images", "loss", "lr", "grad_norm", *loss_gap.COLUMNS]
    files.write_text(OUT / "history.csv", _table(training.history, columns))
    measured = loss_gap.measured(training.history)
    files.write_text(OUT / "heldout_loss.csv", _table(measured, ["images", *loss_gap.COLUMNS]))


def _table(rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> str:
    """Format rows as CSV; a missing column is empty."""
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in rows)
    return table.getvalue()
