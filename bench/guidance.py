"""Two ways to guide, with the same seeds: away from the model without its label, and away from a weaker model.

    make run                                             # or dvc repro
    python bench/guidance.py --out guidance              # writes guidance.json and guidance.md
    python bench/guidance.py --guide FOLDER --out ...    # with a weaker checkpoint that is there already

Without --guide, the weaker model is trained first, by params.yaml but for --budget images. Everything else is as its
sections `sample` and `evaluate` say; both ways cost two evaluations a step.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from training import trained

from ddpm.common import files
from ddpm.config import params
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics.record import score
from ddpm.model import checkpoint
from ddpm.sampling import generate

NAMES = ("fid", "inception_score", "precision", "recall", "class_accuracy", "memorisation_ratio")
KINDS = ("label", "weaker model")


def weaker(settings: params.Params, budget: int) -> checkpoint.Model:
    """The model of a training that ends after `budget` images."""
    data = prepared.load()
    shorter = {"images": budget, "warmup": min(settings.train.warmup, budget // 10)}
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=shorter)})
    made = trained(settings, data.images, data.labels, data.train_indices, data.classes)
    print(f"weaker model: {made.images:,} images in {made.seconds:.0f} s, loss {made.loss:.4f}", flush=True)
    return made.model


def measured(
    model: checkpoint.Model, guide: checkpoint.Model | None, scale: float, settings: params.Params, count: int
) -> dict[str, float]:
    """The scores of `count` images drawn at a scale of guidance; NAMES that this extractor does not give are absent."""
    extractor, real = reference.load()
    sampling = generate.Sampling.suited(**asdict(settings.sample.sampling) | {"guidance": scale})
    drawn = generate.generate(
        model, count, sampling, seed=settings.sample.seed, guide=guide, batch=settings.sample.batch
    )
    labels = np.array(generate.default_labels(count, len(model.classes)))
    found = score(drawn, labels, extractor, real, splits=settings.evaluate.splits)
    return {name: found[name] for name in NAMES if name in found}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a line for each row."""
    names = [name for name in NAMES if name in rows[0]]
    lines = [f"| away from | scale | {' | '.join(name.replace('_', ' ') for name in names)} |"]
    lines += ["|---|---:|" + "---:|" * len(names)]
    lines += [
        f"| {row['kind']} | {row['scale']:g} | {' | '.join(f'{row[name]:.4g}' for name in names)} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the model alone, then both ways at every scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("out/train/model"))
    parser.add_argument("--guide", type=Path, help="a weaker checkpoint of the same images")
    parser.add_argument(
        "--budget", type=int, default=12800, help="training images of the weaker model, without --guide"
    )
    parser.add_argument("--scales", type=float, nargs="+", default=[1.2, 1.35, 1.5, 2.0])
    parser.add_argument("--count", type=int, help="images of each row; default: sample.count")
    parser.add_argument("--out", type=Path, required=True, help="file name without ending")
    asked = parser.parse_args()
    settings, model = params.load(), checkpoint.load(asked.model)
    count = asked.count or settings.sample.count
    guide = checkpoint.load(asked.guide) if asked.guide else weaker(settings, asked.budget)
    rows: list[dict[str, Any]] = []
    for kind, scale in [("nothing", 1.0), *((kind, scale) for kind in KINDS for scale in asked.scales)]:
        chosen = guide if kind == "weaker model" else None
        rows.append({"kind": kind, "scale": scale, **measured(model, chosen, scale, settings, count)})
        print(table(rows).splitlines()[-1], flush=True)
    facts = {"count": count, "seed": settings.sample.seed, "weights_sha256": model.sha256,
             "guide": str(asked.guide or f"{asked.budget} images"), "rows": rows}  # fmt: skip
    files.write_json(asked.out.with_suffix(".json"), facts)
    files.write_text(asked.out.with_suffix(".md"), table(rows))


if __name__ == "__main__":
    main()
