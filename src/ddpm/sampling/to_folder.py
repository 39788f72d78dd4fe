"""Samples of a checkpoint written to a folder: images.npy, labels.npy, strip.npy, sample.json."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm.common import files
from ddpm.common.progress import progress
from ddpm.data import order, prepared
from ddpm.metrics.shards import WHOLE, Shard
from ddpm.model import checkpoint
from ddpm.model.config import ModelConfig
from ddpm.runtime.device import choose_device, compile_network, computing, require_supported, uncompiled
from ddpm.sampling import generate
from ddpm.sampling.options import Sampling

SUMMARY = "sample.json"


def sample_to_folder(
    model_folder: Path,
    out: Path,
    sampling: Sampling,
    *,
    count: int,
    seed: int,
    batch: int,
    strip_length: int,
    conditions: Mapping[str, Any],
    guide_folder: str = "",
    classes: Sequence[str] | None = None,
    class_weights: Sequence[int] | None = None,
    device: str = "auto",
    shard: Shard = WHOLE,
    precision: str = "fp32",
    compiling: bool | str = False,
) -> None:
    """Sample `count` images from a checkpoint, image i from seed + i, and write them to `out`.

    strip_length: frames of the strip, which shows the denoising of a few images. conditions: written to sample.json
    with the hashes of the weights. guide_folder: checkpoint of the guide; "" for none. classes: order of the classes in
    labels.npy, by default the model's own. class_weights: proportions in which they are requested, also nearly in every
    run of images; None: equal. With several processes, each generates whole batches, so the images do not depend on the
    number of processes. precision, compiling: of the networks, as for `runtime.device`; the strip is not compiled.

    Raises ValueError for a request that the model or the device does not support, FileNotFoundError for a missing
    checkpoint.
    """
    where = choose_device(device)
    require_supported(where, precision, compiling, "sample")
    config = checkpoint.read_config(model_folder)
    low_res, labels = small_heldout(config, count)
    generate.check(
        config, sampling, count, labels, None if low_res is None else low_res.shape, guide_config(guide_folder)
    )
    model = checkpoint.load(model_folder)
    guide = checkpoint.load(Path(guide_folder)) if guide_folder else None
    models = (model, guide) if guide else (model,)
    for each in models:
        compile_network(each.denoiser.net, compiling)
    own, names = model.classes, model.classes if classes is None else classes
    shares = "as held out"
    if own and not labels:
        weights = _class_weights(len(own), class_weights)
        shares = "equal" if len(set(weights)) == 1 else "as in training"
        labels = generate.renumbered(order.class_sequence(count, weights), names, own)

    with _progress(count, shard) as advance, generate.evaluations(*models) as evaluated:

        def part(indices: range) -> generate.Images:
            where = slice(indices.start, indices.stop)
            return generate.generate(
                model, len(indices), sampling, seed=seed + indices.start, labels=labels and labels[where],
                low_res=None if low_res is None else low_res[where], guide=guide, batch=batch, device=device,
                advance=advance,
            )  # fmt: skip

        parts = [range(i, min(i + batch, count)) for i in range(0, count, batch)]
        with computing(where, precision):
            images = shard.map(part, parts)
    evaluations = shard.total(sum(evaluated), len(parts))
    if shard.rank > 0:
        return
    rows = min(max(len(model.classes), 4), 10, count)
    first = {"labels": labels and labels[:rows], "low_res": None if low_res is None else low_res[:rows], "guide": guide}
    with computing(where, precision), uncompiled(model.denoiser.net):
        strip = generate.strip(model, rows, strip_length, sampling, seed=seed, device=device, **first)
    numbers = generate.renumbered(labels or [generate.NO_LABEL] * count, own, names)
    facts = {
        "weights_sha256": model.sha256,
        "guide_sha256": guide.sha256 if guide else "",
        "evaluations": evaluations / count,
    }
    requested = {"class_shares": shares} if labels else {}
    _write(out, images, numbers, strip, {**conditions, **requested, **facts})


def _write(
    out: Path, images: generate.Images, labels: Sequence[int], strip: generate.Images, summary: Mapping[str, Any]
) -> None:
    """Write images or series, (N, ...), labels (N,), the strip and the summary to a new folder."""
    with files.fresh_folder(out) as new:
        files.write_npy(new / "images.npy", images)
        files.write_npy(new / "labels.npy", np.array(labels, dtype=np.int64))
        files.write_npy(new / "strip.npy", strip)
        files.write_json(new / SUMMARY, summary)


def _class_weights(classes: int, given: Sequence[int] | None) -> Sequence[int]:
    """Return the weight of each class, by default equal. Raises ValueError for another number of weights."""
    weights = [1] * classes if given is None else given
    if len(weights) != classes:
        raise ValueError(
            f"the prepared images have {len(weights)} classes and the model has {classes}: train it on these images"
        )
    return weights


@contextlib.contextmanager
def _progress(count: int, shard: Shard) -> Iterator[Callable[[int], None] | None]:
    """Show the progress of all processes, estimated from the first one."""
    if shard.rank > 0:
        yield None
        return
    with progress("sample", count, "images") as shown:
        yield lambda images: shown.advance(min(images * shard.count, count - shown.done))


def guide_config(guide: str) -> ModelConfig | None:
    """Read the config of `sample.guide`; None for "". Raises FileNotFoundError that names the parameter."""
    if not guide:
        return None
    try:
        return checkpoint.read_config(Path(guide))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"sample.guide = {guide!r} is not a checkpoint folder. Keep one of a training for fewer images "
            '(a copy of its out/train/model), or use guide: "".'
        ) from error


def small_heldout(config: ModelConfig, count: int) -> tuple[generate.Images | None, list[int] | None]:
    """Downsample held-out images, in balanced order, for a super-resolution model; return them with their labels.

    (None, None) for any other model.
    """
    if not config.diffusion.scale:
        return None, None
    data = prepared.load()
    held = order.heldout(data)
    low_res, labels = generate.small_images(config, data.images[held], data.labels[held], count)
    return low_res, labels and generate.renumbered(labels, data.classes, config.image.classes)
