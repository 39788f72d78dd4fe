"""Output files of a restoration: a folder for each input, a strip of all, and scores.json."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.imaging import sheets
from ddpm.imaging.pixels import enlarge, to_pil
from ddpm.metrics import psnr_ssim
from ddpm.report import uncertainty
from ddpm.restore.inputs import Inputs
from ddpm.restore.run import Restored
from ddpm.restore.tasks import TASKS, Plan

Pixels = NDArray[np.uint8]

MAX_ROWS, MAX_RESTORATIONS = 20, 4  # of the strip: inputs, and restorations of each
HOLE = 128  # grey level of unknown pixels
LONGEST_NAME = 16
NARROWEST = 84  # pixels of a column of the strip, for its heading


def scores(plan: Plan, restored: Restored, truth: Pixels | None) -> dict[str, Any]:
    """Compute PSNR (dB) and SSIM against the truth, of single restorations, their mean, and the baseline.

    Each has the mean over inputs and the values of all inputs. Empty without truth. SSIM is None for images smaller
    than its window.
    """
    if truth is None:
        return {}
    count = restored.images.shape[1]
    single = [_fidelity(restored.images[:, repeat], truth) for repeat in range(count)]
    result: dict[str, Any] = {"restored": _summary(single)}
    if count > 1:
        result["mean of restorations"] = _summary([_fidelity(restored.mean, truth)])
    return result | {TASKS[plan.task].baseline: _summary([_fidelity(restored.baseline, truth)])}


def conditions(plan: Plan, model: str, sha256: str) -> dict[str, Any]:
    """Collect the conditions of a restoration, apart from its inputs."""
    return {
        "task": plan.task, "model": model, "weights_sha256": sha256, "sampler": plan.sampling.sampler,
        "steps": plan.sampling.steps, "spacing": plan.sampling.spacing, "rounds": plan.rounds, "scale": plan.scale,
        "trained": plan.trained,
        "noise": "auto" if plan.noise is None else plan.noise, "label": plan.label, "count": plan.count,
        "seed": plan.seed,
        **(asdict(plan.sampling) if plan.trained else {}),
    }  # fmt: skip


def write(out: Path, plan: Plan, inputs: Inputs, restored: Restored, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder `out` atomically; return the scores (empty without truth)."""
    found = scores(plan, restored, inputs.truth)
    noise = dict(zip(inputs.names, restored.noise, strict=True))
    with files.fresh_folder(out) as new:
        _write_images(new, inputs.names, restored)
        files.write_bytes(new / "strip.png", strip(plan, inputs, restored))
        files.write_json(new / "scores.json", {"conditions": dict(facts), "scores": found, "noise": noise})
    return found


def strip(plan: Plan, inputs: Inputs, restored: Restored) -> bytes:
    """Draw a row for each of the first inputs: observed, restored, mean and spread, baseline, truth."""
    spread, repeats = restored.spread, min(restored.images.shape[1], MAX_RESTORATIONS)
    columns: list[tuple[str, Sequence[Pixels]]] = [("observed", _observed(plan, inputs))]
    columns += [("restored" if repeat == 0 else "", list(restored.images[:, repeat])) for repeat in range(repeats)]
    if spread is not None:
        most = uncertainty.top(spread)
        columns += [("mean", list(restored.mean)), ("spread", [uncertainty.heat(each, most) for each in spread])]
    columns += [(TASKS[plan.task].baseline, list(restored.baseline))]
    if inputs.truth is not None:
        columns += [("truth", list(inputs.truth))]
    rows = [
        sheets.SheetRow([_large(column[index]) for _, column in columns], _short(name))
        for index, name in enumerate(inputs.names[:MAX_ROWS])
    ]
    first_after = 1 + repeats
    return sheets.sheet(
        rows,
        headings={place: heading for place, (heading, _) in enumerate(columns) if heading},
        groups=[1, first_after],
    )


def _write_images(folder: Path, names: Sequence[str], restored: Restored) -> None:
    spread, mean = restored.spread, restored.mean
    for index, name in enumerate(names):
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        for repeat, image in enumerate(restored.images[index]):
            to_pil(image).save(own / f"restored-{repeat}.png")
        if spread is not None:
            to_pil(mean[index]).save(own / "mean.png")
            files.write_npy(own / "spread.npy", spread[index])
            files.write_bytes(own / "spread.png", uncertainty.picture(spread[index], uncertainty.top(spread)))


def _observed(plan: Plan, inputs: Inputs) -> list[Pixels]:
    """Enlarge the inputs to the restored size, with unknown pixels in grey."""
    large = enlarge(inputs.observed, plan.scale)
    if inputs.known is not None:
        large = np.where(inputs.known[None, :, :, None], large, np.uint8(HOLE))
    return list(large)


def _fidelity(images: Pixels, truth: Pixels) -> dict[str, NDArray[np.float64] | None]:
    return {"psnr": psnr_ssim.psnr(images, truth), "ssim": psnr_ssim.ssim(images, truth)}


def _summary(each: Sequence[Mapping[str, NDArray[np.float64] | None]]) -> dict[str, Any]:
    """Average scores over all inputs, and over the restorations of each."""
    result: dict[str, Any] = {}
    for key in ("psnr", "ssim"):
        values = [found for one in each if (found := one[key]) is not None]
        per_input = np.mean(values, axis=0).round(4).tolist() if values else None
        result[key] = None if per_input is None else round(float(np.mean(values)), 4)
        result[f"{key} of each input"] = per_input
    return result


def _large(image: Pixels) -> Pixels:
    """Enlarge by an integer factor, to at least the width of the heading."""
    times = max(1, math.ceil(NARROWEST / max(image.shape[:2])))
    return enlarge(image, times)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
