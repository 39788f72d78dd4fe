"""Variants of a short training on two cores: one training per variant of params.yaml, all scored in the same way.

    dvc repro prepare features
    python bench/study.py --out study.jsonl            # all variants, one after the other
    python bench/study.py --out study.jsonl deep wide  # two of them
    python bench/study.py --out study.jsonl vp-sde edm --pictures docs    # presets, as they are

A variant is a row of VARIANTS: the keys of params.yaml, or whole sections, that it changes; any other name is that of a
preset. Every row is measured with the extractor and the reference of the features stage and `sample.count` images, and
appended to the file as one line of JSON; docs/results.md shows them as a table.
"""

import argparse
import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from training import trained

from ddpm.common import files
from ddpm.config import params, presets
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics.record import score
from ddpm.report import pictures
from ddpm.sampling import generate

PRESETS = Path(__file__).parents[1] / "presets"
PLAIN = {"kind": "plain", "channels": 56, "levels": 2, "blocks": 2, "skips": True, "groups": 8, "patch": 2}
DIT = {"kind": "dit", "patch": 4, "width": 96, "depth": 4, "heads": 4, "mlp_ratio": 4, "dropout": 0.0}
NO_ATTENTION = {"net.attention": [], "net.middle_attention": False}
ONE_LEVEL = {"net.multipliers": [1], "net.channels": 64, "net.head_channels": 64}

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
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
    # What attention, scales and skips bring: as many parameters as the default's 758 thousand, within a tenth.
    "no-attention": NO_ATTENTION,
    "one-level": ONE_LEVEL | {"net.attention": [14]},
    "one-level-no-attention": ONE_LEVEL | NO_ATTENTION,
    "plain": {"net": PLAIN},
    "plain-no-skips": {"net": PLAIN | {"skips": False}},
    "plain-one-level": {"net": PLAIN | {"levels": 1, "channels": 80, "blocks": 4}},
    "dit-4": {"net": DIT},
    "dit-2": {"net": DIT | {"patch": 2}},
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


def run(settings: params.Params, guidances: list[float], picture: Path | None) -> dict[str, Any]:
    """Train, sample at each guidance scale, score; the samples of the last scale go into the picture."""
    data = prepared.load()
    made = trained(settings, data.images, data.labels, data.train_indices, data.classes)
    model = made.model
    extractor, real = reference.load()
    row: dict[str, Any] = {
        "parameters": sum(parameter.numel() for parameter in model.denoiser.parameters()),
        "images": made.images,
        "images_per_second": round(made.images / made.seconds, 1),
        "cpu_seconds": round(made.cpu_seconds),
        "loss": made.loss,
    }
    for guidance in guidances:
        sampling = generate.Sampling.suited(**asdict(settings.sample.sampling) | {"guidance": guidance})
        drawn = generate.generate(model, settings.sample.count, sampling, seed=settings.sample.seed)
        labels = np.array(generate.default_labels(len(drawn), len(data.classes)))
        scores = score(drawn, labels, extractor, real, splits=settings.evaluate.splits)
        names = ("fid", "inception_score", "class_accuracy", "memorisation_ratio")
        row[f"guidance {guidance}"] = {name: scores[name] for name in names}
    if picture:
        files.write_bytes(picture, pictures.grid(drawn, 10))
    return row | {"fid_floor": real.floors["fid"]["heldout"], "fid_halves": real.floors["fid"]["halves"]}


def main() -> None:
    """Run the asked variants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(VARIANTS), help="variants; default: all")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines to append to")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.5])
    parser.add_argument("--pictures", type=Path, help="folder for a grid of samples of each")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to every variant")
    arguments = parser.parse_args()
    base = params.read_yaml(params.PARAMS_FILE)
    common = {key: json.loads(value) for key, value in (each.split("=") for each in arguments.set)}
    for name in arguments.names:
        values = base if name in VARIANTS else presets.values(PRESETS / f"{name}.yaml")
        settings = varied(values, common | VARIANTS.get(name, {}))
        picture = arguments.pictures / f"{name}.png" if arguments.pictures else None
        row = {"variant": name, **run(settings, arguments.guidance, picture)}
        print(json.dumps(row), flush=True)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
