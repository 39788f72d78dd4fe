"""Restoration of held-out images with the trained model: each task against what needs no model.

    make run                                             # or dvc repro train
    python bench/restoration.py --out restoration        # writes restoration.json and restoration.md
    python bench/restoration.py --colour --out colour    # trains a small model of coloured digits first (minutes)

PSNR (dB) and SSIM are means over N held-out images: of a single restoration, of the mean of several, and of the
baseline. Observations are made from the images and rounded to 8 bits, as a file would hold them. Ends with status 1 if
a baseline wins.

The prepared images are grey. With --colour they are painted, a hue for each class and a little to either side of it,
and a model of 3 channels is trained on them without labels: the colour of a digit follows from its shape.
"""

import argparse
import colorsys
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from training import trained

from ddpm.common import files
from ddpm.config import params
from ddpm.data import prepared
from ddpm.diffusion import restoration
from ddpm.diffusion.pixels import to_tensor, to_uint8
from ddpm.model import checkpoint
from ddpm.restore import inputs, outputs, run, tasks

Images = NDArray[np.uint8]
JITTER = 0.02  # of the hue, which goes from 0 to 1; classes are at least 0.1 apart


def degraded(images: Images, task: str, options: dict[str, Any]) -> tuple[Images, NDArray[np.bool_] | None]:
    """Degrade images (N, H, W, C); return the observations and the mask of known pixels."""
    clean = to_tensor(torch.from_numpy(images))
    side = images.shape[1]
    match task:
        case "inpaint":
            known = np.ones((side, side), dtype=bool)
            third = slice(side // 3, side - side // 3)
            known[third, third] = False
            return images, known
        case "super-resolution":
            return to_uint8(restoration.pooled(options["scale"]).forward(clean)), None
        case "denoise":
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
            return to_uint8(clean + float(options["true"]) * noise), None
        case "colourise":
            return to_uint8(restoration.grey().forward(clean)), None
    raise KeyError(task)


ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "inpaint the middle third": ("inpaint", {}),
    "super-resolution x2": ("super-resolution", {"scale": 2}),
    "super-resolution x4": ("super-resolution", {"scale": 4}),
    "denoise 0.2": ("denoise", {"noise": "0.2", "true": 0.2}),
    "denoise 0.5": ("denoise", {"noise": "0.5", "true": 0.5}),
    "denoise 0.5, estimated": ("denoise", {"noise": "auto", "true": 0.5}),
    "colourise": ("colourise", {}),
}


def painted(images: Images, labels: NDArray[np.int64], classes: int) -> Images:
    """Grey images (N, H, W, 1) in colour, (N, H, W, 3): light of one hue on black, the same in every run."""
    shift = np.random.default_rng(0).uniform(-JITTER, JITTER, len(images))
    hues = (labels / classes + shift) % 1
    colours = np.array([colorsys.hsv_to_rgb(hue, 1, 1) for hue in hues], dtype=np.float32)
    coloured: Images = np.rint(np.asarray(images, np.float32) * colours[:, None, None]).astype(np.uint8)
    return coloured


def colour_model(budget: int, data: prepared.PreparedSet) -> tuple[checkpoint.Model, Images]:
    """A model of params.yaml trained on `budget` painted images without labels, and all of the painted images."""
    asked = params.read_yaml(params.PARAMS_FILE)
    asked["prepare"] |= {"channels": 3}
    asked["train"] |= {"images": budget, "ema": budget // 10, "warmup": min(asked["train"]["warmup"], budget // 10)}
    images = painted(data.images, data.labels, len(data.classes))
    made = trained(params.parse(asked, "colour"), images, data.labels, data.train_indices, ())
    print(f"trained on {made.images:,} images in {made.seconds:.0f} s, loss {made.loss:.4f}", flush=True)
    return made.model, images


def measured(model: checkpoint.Model, images: Images, task: str, options: dict[str, Any], count: int) -> dict[str, Any]:
    """Scores of one row, with its conditions."""
    observed, known = degraded(images, task, options)
    chosen = {key: value for key, value in options.items() if key != "true"}
    plan = tasks.plan(model.config, task, mask=known is not None, count=count, **chosen)
    names = tuple(map(str, range(len(images))))
    given = run.observe(plan, inputs.Inputs(names, observed, known, images), model.config.diffusion)
    scores = outputs.scores(plan, run.restore(model, plan, given), images)
    if task == "denoise" and count > 1:  # the mean of all, by one evaluation
        plan = tasks.plan(model.config, task, **chosen)
        single = run.restore(model, plan, given)
        scores["one evaluation"] = outputs.scores(plan, single, images)["restored"]
    return {"conditions": outputs.conditions(plan, "", model.sha256) | {"count": count}, "scores": scores}


def better(scores: dict[str, Any], baseline: str) -> bool:
    """Return True if every kind of restoration beats the baseline, in PSNR and in SSIM."""
    ours = [found for name, found in scores.items() if name != baseline]
    return all(each[key] > scores[baseline][key] for each in ours for key in ("psnr", "ssim") if each[key] is not None)


def table(results: dict[str, dict[str, Any]], count: int) -> str:
    """Markdown: PSNR / SSIM."""
    lines = [
        f"| task | restored | mean of {count} | one evaluation | baseline | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, result in results.items():
        scores, baseline = result["scores"], tasks.TASKS[result["conditions"]["task"]].baseline
        kinds = ("restored", "mean of restorations", "one evaluation", baseline)
        lines.append(f"| {name} | {' | '.join(_pair(scores.get(kind)) for kind in kinds)} | {baseline} |")
    return "\n".join(lines) + "\n"


def _pair(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['psnr']:.2f} / {found['ssim']:.3f}" if found["ssim"] is not None else f"{found['psnr']:.2f}"


def main() -> None:
    """Measure every task that the model can do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("out/train/model"))
    parser.add_argument("--images", type=int, default=100, help="held-out images, evenly spread")
    parser.add_argument("--count", type=int, default=8, help="restorations of each")
    parser.add_argument("--out", type=Path, required=True, help="file name without ending")
    parser.add_argument("--colour", action="store_true", help="colourise, with a model that is trained for it now")
    parser.add_argument("--colour-budget", type=int, default=80000, help="training images seen by that model")
    asked = parser.parse_args()
    data = prepared.load()
    if asked.colour:
        model, source = colour_model(asked.colour_budget, data)
    else:
        model, source = checkpoint.load(asked.model), data.images
    held = data.heldout_indices
    images = np.array(source[held[np.linspace(0, len(held) - 1, min(asked.images, len(held))).astype(int)]])
    results: dict[str, dict[str, Any]] = {}
    for name, (task, options) in ROWS.items():
        if asked.colour and task != "colourise":
            continue
        divides = model.resolution % options.get("scale", 1) == 0
        if divides and (task != "colourise" or model.channels == 3):
            results[name] = measured(model, images, task, options, asked.count)
            print(table({name: results[name]}, asked.count).splitlines()[-1], flush=True)
    facts = {"images": len(images), "data_sha256": data.sha256, "weights_sha256": model.sha256, "results": results}
    files.write_json(asked.out.with_suffix(".json"), facts)
    files.write_text(asked.out.with_suffix(".md"), table(results, asked.count))
    lost = [
        name for name, each in results.items()
        if not better(each["scores"], tasks.TASKS[each["conditions"]["task"]].baseline)
    ]  # fmt: skip
    if lost:
        sys.exit(f"the baseline is better: {', '.join(lost)}")


if __name__ == "__main__":
    main()
