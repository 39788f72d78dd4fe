"""Stage train: the prepared set in, a checkpoint and the history of its loss out.

Stopped by Ctrl-C or SIGTERM, it saves; killed, it loses at most what came after the last checkpoint. The same command
goes on where it was.
"""

import csv
import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import torch

from ddpm import build, checkpoint, files, generate, params, runtime, state, train
from ddpm.data import prepared
from ddpm.diffusion import conditioning
from ddpm.progress import Progress, progress
from ddpm.stages import run
from ddpm.stages.sample import small_heldout
from ddpm.tracking import Tracker, changes, lineage, machine

OUT = Path("out/train")
STATE = Path(".state/train")
CODE = (
    "build.py",
    "checkpoint.py",
    "diffusion/conditioning.py",
    "diffusion/denoiser.py",
    "diffusion/pixels.py",
    "diffusion/process.py",
    "diffusion/schedule.py",
    "diffusion/variational.py",
    "nets",
    "randomness.py",
    "runtime.py",
    "stages/train.py",
    "state.py",
    "train.py",
)
"""What of the package shapes the weights; dvc.yaml lists the same."""


def main() -> None:
    """Train to the end of the budget, or stop and save."""
    stop = StopRequest()
    settings = params.load()
    dataset = prepared.load(verify=True)
    classes = dataset.classes if settings.prepare.labels == "folders" else ()
    config = checkpoint_config(settings, dataset.resolution, dataset.channels, classes)
    initial = Path(settings.train.initial) if settings.train.initial else None
    if initial:
        config["initial_sha256"] = checkpoint.fitting(initial, config)
    config["digest"] = state.digest(
        {"config": config, "train": settings.train.model_dump(mode="json")},
        dataset.sha256,
        state.code_digest(Path(checkpoint.__file__).parent, CODE),
    )
    where = runtime.device(os.environ.get("DDPM_DEVICE", "auto"))
    runtime.deterministic()

    folder = STATE / config["digest"]
    with state.owned(folder):
        state.prune_digests(STATE, config["digest"])
        training = fresh(config, settings.train, where, initial)
        data = train.in_memory(dataset.images, dataset.labels, dataset.train_indices, len(classes), where)
        recipe = recipe_of(settings)
        if state.restore(training, folder):
            print(f"train: resuming at image {training.step * recipe.batch:,} of {recipe.images:,}", flush=True)
        tracker = Tracker(config["digest"])
        changed = changes()
        if changed.refused:
            print(f"train: cannot be reproduced from its record: {changed.refused}", flush=True)
        tracker.start(params.flatten(settings), lineage(changed) | machine(str(where)), changed.content)
        try:
            with progress("train", recipe.steps * recipe.batch, "images") as shown:
                shown.start_at(training.step * recipe.batch)
                fit(training, data, recipe, config, folder, settings, tracker, shown, stop)
        except train.TrainingStopped as stopped:
            tracker.finish("KILLED")
            print(f"train: {stopped}. Run the same command to go on.", flush=True)
            sys.exit(128 + stop.signal)
        except BaseException:
            tracker.finish("FAILED")
            raise
        write_outputs(training, config)
        tracker.finish("FINISHED")


def fit(
    training: state.State, data: train.Data, recipe: train.Recipe, config: dict[str, Any], folder: Path,
    settings: params.Params, tracker: Tracker, shown: Progress, stop: "StopRequest",
) -> None:  # fmt: skip
    """`train.fit`, with its record and its checkpoints on disk."""
    process = psutil.Process()

    def log(images: int, values: dict[str, float]) -> None:
        shown.advance(images - shown.done, f"loss {values['loss']:.4f}")
        cost = {"images_per_second": shown.rate(), "memory_gib": process.memory_info().rss / 2**30}
        tracker.metrics(images, values | cost)

    def preview(images: int, now: state.State) -> None:
        tracker.picture("samples", preview_grid(now, config, settings.sample), images)

    train.fit(
        training,
        data,
        recipe,
        log=log,
        preview=preview,
        save=lambda now: state.save(now, folder, settings.train.keep),
        should_stop=lambda: stop.signal != 0,
    )


def preview_grid(now: state.State, config: dict[str, Any], sample: params.Sample) -> Any:
    """A few samples of the averaged weights, as one picture: (H, W, C) uint8."""
    denoiser = build.denoiser(config)
    denoiser.load_state_dict(now.average)
    count = max(len(config["image"]["classes"]), 8)
    steps = min(sample.steps, config["diffusion"]["steps"])
    known, labels = small_heldout(config, 4 * count)
    images = generate.generate(
        checkpoint.Model(denoiser, config, ""), 4 * count, generate.Sampling(steps=steps), labels=labels, known=known,
        batch=4 * count,
    )  # fmt: skip
    rows = images.reshape(4, count, *images.shape[1:])
    return rows.transpose(0, 2, 1, 3, 4).reshape(4 * images.shape[1], count * images.shape[2], -1)


def fresh(
    config: dict[str, Any], settings: params.Train, where: torch.device, initial: Path | None = None
) -> state.State:
    """A training at step 0, its weights drawn from the seed, or those of the checkpoint `initial`."""
    torch.manual_seed(settings.seed)
    denoiser = build.denoiser(config).to(where)
    if initial:
        denoiser.load_state_dict(checkpoint.starting(initial, denoiser.state_dict()))
    if settings.channels_last:
        runtime.channels_last(denoiser)
    if settings.compile:
        denoiser.net.compile()
    optimizer = build.optimizer(
        denoiser, settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay, beta2=settings.beta2
    )
    average = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    return state.State(denoiser, average, optimizer)


def checkpoint_config(
    settings: params.Params, resolution: int, channels: int, classes: tuple[str, ...]
) -> dict[str, Any]:
    """What a checkpoint says of itself: enough to rebuild the network and to know what may be asked of it."""
    image = {"resolution": resolution, "channels": channels, "classes": list(classes)}
    return {
        "image": image | {"label_dropout": settings.train.label_dropout},
        "net": settings.net.model_dump(mode="json"),
        "diffusion": settings.diffusion.model_dump(mode="json"),
    }


def recipe_of(settings: params.Params) -> train.Recipe:
    """The recipe as plain arguments."""
    names = set(train.Recipe.__dataclass_fields__) - {"weighting", "condition_scale"}
    chosen = {name: value for name, value in settings.train.model_dump().items() if name in names}
    diffusion = settings.diffusion
    scale = conditioning.CONDITIONS[diffusion.condition]
    return train.Recipe(**chosen, weighting=diffusion.weighting, condition_scale=scale)


def write_outputs(training: state.State, config: dict[str, Any]) -> None:
    """The checkpoint and the history, which holds no times: equal trainings write equal bytes."""
    table = io.StringIO()
    writer = csv.DictWriter(table, ["images", "loss", "lr", "grad_norm"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in training.history)
    checkpoint.save(OUT / "model", config, training.average, training.denoiser.state_dict())
    files.write_text(OUT / "history.csv", table.getvalue())


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0
        self.handlers = {number: signal.signal(number, self._asked) for number in (signal.SIGINT, signal.SIGTERM)}

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for each, handler in self.handlers.items():
            signal.signal(each, handler)
        print(f"train: {signal.Signals(number).name}: saving, then stopping", flush=True)


if __name__ == "__main__":
    run(main)
