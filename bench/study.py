"""Variants of a short training on two cores: one training per variant of params.yaml, all scored in the same way.

    dvc repro prepare features
    python bench/study.py --out study.jsonl            # all variants, one after the other
    python bench/study.py --out study.jsonl deep wide  # two of them
    python bench/study.py --out study.jsonl vp-sde edm --pictures docs    # presets, as they are
    python bench/study.py --out study.jsonl default muon-x0 --seeds 0 1 2 --steps 12 20 --guidance 1.15 1.35
    python bench/study.py --out study.jsonl mnist-fast --steps 1 2 4 --set 'train.initial="teacher"'  # few steps
    python bench/study.py --out study.jsonl --table                       # means over seeds, as Markdown

A variant is a row of VARIANTS: the keys of params.yaml, or whole sections, that it changes; any other name is that of a
preset. Every row is measured with the extractor and the reference of the features stage and `sample.count` images, and
appended to the file as one line of JSON; docs/results.md shows them as a table. A seed of `--seeds` is that of the
training and, times 10,000, that of the first image drawn, so that no two trainings share noise. Intervals in the table
are of 95 % (Student's t over the seeds).
"""

import argparse
import copy
import itertools
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from training import trained

from ddpm.common import files
from ddpm.config import params, presets
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics.record import score
from ddpm.model import checkpoint
from ddpm.report import pictures
from ddpm.sampling import generate

Row = dict[str, Any]
Conditions = dict[str, float]
SCORES = ("fid", "recall", "precision", "memorisation_ratio", "inception_score", "class_accuracy")
PRESETS = Path(__file__).parents[1] / "presets"
PLAIN = {"kind": "plain", "channels": 56, "levels": 2, "blocks": 2, "skips": True, "groups": 8, "patch": 2}
DIT = {"kind": "dit", "patch": 4, "width": 96, "depth": 4, "heads": 4, "mlp_ratio": 4, "dropout": 0.0}
NO_ATTENTION = {"net.attention": [], "net.middle_attention": False}
ONE_LEVEL = {"net.multipliers": [1], "net.channels": 64, "net.head_channels": 64}

LEAN = NO_ATTENTION | {"net.resample": "residual"}
ADAMW = {
    "net.attention": [7], "net.middle_attention": True, "net.resample": "conv", "train.optimizer": "adamw",
}  # fmt: skip
"""A recipe with AdamW and attention, from which the rows of BY_ADAMW differ."""

BY_ADAMW: dict[str, dict[str, Any]] = {
    "adamw-v": {},
    "linear-eps": {"diffusion.schedule": "linear", "diffusion.prediction": "eps"},
    "cosine-eps": {"diffusion.prediction": "eps"},
    "cosine-x0": {"diffusion.prediction": "x0"},
    "cosine-v": {"diffusion.prediction": "v"},
    "cosine-edm": {"diffusion.prediction": "edm"},
    "sigmoid-v": {"diffusion.schedule": "sigmoid", "diffusion.prediction": "v"},
    "simple-weighting": {"diffusion.weighting": "simple"},
    "batch-16": {"train.batch": 16},
    "batch-64": {"train.batch": 64, "train.lr": 0.003},
    "lr-1e-3": {"train.lr": 0.001},
    "lr-4e-3": {"train.lr": 0.004},
    "decay-1": {"train.decay": 1.0},
    "ema-half": {"train.ema": 3500},
    "no-scale-shift": {"net.scale_shift": False},
    "wide": {"net.channels": 48, "net.head_channels": 48},
    "deep": {"net.blocks": 2},
    "no-attention-above": {"net.attention": []},
    "dropout": {"net.dropout": 0.1},
    "residual-resample": {"net.resample": "residual"},
    # What attention, scales and skips bring: as many parameters as adamw-v's 758 thousand, within a tenth.
    "no-attention": NO_ATTENTION,
    "one-level": ONE_LEVEL | {"net.attention": [14]},
    "one-level-no-attention": ONE_LEVEL | NO_ATTENTION,
    "plain": {"net": PLAIN},
    "plain-no-skips": {"net": PLAIN | {"skips": False}},
    "plain-one-level": {"net": PLAIN | {"levels": 1, "channels": 80, "blocks": 4}},
    "dit-4": {"net": DIT},
    "dit-2": {"net": DIT | {"patch": 2}},
}

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "muon-conv": {"net.resample": "conv"},
    "muon-x0": {"diffusion.prediction": "x0"},
    "muon-x0-batch-64": {"diffusion.prediction": "x0", "train.batch": 64},
    "adamw-v-lean": ADAMW | LEAN,
    "adamw-x0-lean": ADAMW | LEAN | {"diffusion.prediction": "x0"},
    **{name: ADAMW | changes for name, changes in BY_ADAMW.items()},
}


def varied(base: dict[str, Any], changes: dict[str, Any]) -> params.Params:
    """params.yaml with some keys changed, checked."""
    values = copy.deepcopy(base)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if name:
            values[section][name] = value
        else:
            values[section] = value
    return params.parse(values, "study")


def run(settings: params.Params, conditions: list[Conditions], picture: Path | None, keep: Path | None) -> Row:
    """Train, sample under each of the conditions, score; the last samples go into the picture."""
    data = prepared.load()
    made = trained(settings, data.images, data.labels, data.train_indices, data.classes, keep)
    model = made.model
    row: Row = {
        "parameters": sum(parameter.numel() for parameter in model.denoiser.parameters()),
        "images": made.images,
        "images_per_second": round(made.images / made.seconds, 1),
        "cpu_seconds": round(made.cpu_seconds),
        "loss": made.loss,
        "samplings": [],
    }
    for each in conditions:
        drawn, found = sampled(model, settings, **each)
        row["samplings"].append(each | found)
    if picture:
        files.write_bytes(picture, pictures.grid(drawn, 10))
    return row


def sampled(model: checkpoint.Model, settings: params.Params, **conditions: float) -> tuple[generate.Images, Row]:
    """Draw `sample.count` images with some sampling options changed, and score them."""
    extractor, real = reference.load()
    sampling = generate.Sampling.suited(**asdict(settings.sample.sampling) | conditions)
    drawn = generate.generate(model, settings.sample.count, sampling, seed=10_000 * settings.train.seed)
    labels = np.array(generate.default_labels(len(drawn), len(model.classes)))
    scores = score(drawn, labels, extractor, real, splits=settings.evaluate.splits)
    return drawn, {name: scores[name] for name in SCORES}


def table(rows: list[Row]) -> str:
    """Markdown: mean over the seeds of a variant, and half the width of its interval, for each of its samplings."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        for each in row["samplings"]:
            key = (row["variant"], row["images"], each["steps"], each["guidance"])
            groups.setdefault(key, []).append(row | each)
    lines = ["| variant | images | steps | guidance | seeds | parameters (M) | CPU s | " + " | ".join(SCORES) + " |"]
    lines.append("|---|" + "---:|" * (6 + len(SCORES)))
    for key, found in groups.items():
        cells = [*map(str, key), str(len(found)), f"{found[0]['parameters'] / 1e6:.2f}"]
        cells += [_mean([each[name] for each in found]) for name in ("cpu_seconds", *SCORES)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: list[float]) -> str:
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return f"{mean:.4g}"
    half = float(np.std(values, ddof=1)) / math.sqrt(count) * float(stats.t.ppf(0.975, count - 1))
    return f"{mean:.4g} ± {half:.2g}"


def main() -> None:
    """Run the asked variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(VARIANTS), help="variants; default: all")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines to append to")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the trainings")
    parser.add_argument("--guidance", type=float, nargs="+", help="scales to sample at; default: the variant's")
    parser.add_argument("--steps", type=int, nargs="+", help="numbers of steps to sample with; default: the variant's")
    parser.add_argument("--pictures", type=Path, help="folder for a grid of samples of each")
    parser.add_argument("--keep", type=Path, help="folder for the models and the snapshots of their averages")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to every variant")
    parser.add_argument("--table", action="store_true", help="only print the rows of the file as a table")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.out.read_text().splitlines()]))
        return
    base = params.read_yaml(params.PARAMS_FILE)
    common = {key: json.loads(value) for key, value in (each.split("=") for each in arguments.set)}
    for seed, name in itertools.product(arguments.seeds, arguments.names):
        values = base if name in VARIANTS else presets.values(PRESETS / f"{name}.yaml")
        settings = varied(values, common | VARIANTS.get(name, {}) | {"train.seed": seed})
        chosen = itertools.product(
            arguments.steps or [settings.sample.steps], arguments.guidance or [settings.sample.guidance]
        )
        picture = arguments.pictures / f"{name}.png" if arguments.pictures else None
        keep = arguments.keep / f"{name}-{seed}" if arguments.keep else None
        conditions: list[Conditions] = [{"steps": steps, "guidance": guidance} for steps, guidance in chosen]
        row = {"variant": name, "seed": seed, **run(settings, conditions, picture, keep)}
        print(json.dumps(row), flush=True)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
