"""Quality against the number of evaluations of the network, for every sampler, on the trained model of out/train.

    dvc repro features train
    python bench/samplers.py --plan                              # what each row will cost here, then stop
    python bench/samplers.py --out samplers.jsonl                # all rows that the file does not hold yet
    python bench/samplers.py --out samplers.jsonl heun ddim      # two samplers
    python bench/samplers.py --out samplers.jsonl --report docs  # docs/samplers-measured.md, docs/samplers.png

Every row draws `sample.count` images with the guidance of params.yaml and is scored with the extractor and reference of
the features stage. Evaluations are counted, not computed: with guidance, a level costs two. Rows of at most
`--cheap` evaluations, and the reference (ancestral sampling over all T levels), are drawn from several seeds, `count`
apart, so that their spread is known. A line of the file is one row with one seed; a stopped run resumes where it was.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ddpm.common import files
from ddpm.config import params
from ddpm.evaluation import reference
from ddpm.metrics.record import score
from ddpm.model import checkpoint
from ddpm.report import plots
from ddpm.sampling import generate
from ddpm.sampling.generate import Sampling

MODEL = Path("out/train/model")
SCORES = ("fid", "inception_score", "class_accuracy", "class_share_min")
REFERENCE = "ddpm all levels"
HEADING = """# Samplers: all measurements

Conditions as in [results.md](results.md#samplers-steps-and-guidance). Bold: at most 20 evaluations, and no worse than
ancestral sampling over all levels within its spread. `karras`, `log-snr` and the rest are spacings; `interval` guides
for sigma in 0.3 to 100 only. `ddim`, `ddpm` and `predictor-corrector` are spaced uniformly.

"""
HIGHEST = 30  # times the lowest FID, in the plot
FEW = (5, 7, 10, 20, 50)
CURVES: dict[str, tuple[dict[str, Any], Sequence[int | float]]] = {
    # name: what is asked for, and how many levels (ode: which tolerances)
    "ddpm": ({"sampler": "ddpm", "spacing": "uniform"}, (10, 20, 50, 100)),
    "ddpm-large": ({"sampler": "ddpm", "spacing": "uniform", "variance": "large"}, (50,)),
    "ddim": ({"sampler": "ddim", "spacing": "uniform"}, FEW),
    "ddim log-snr": ({"sampler": "ddim", "spacing": "log-snr"}, FEW),
    "euler karras": ({"sampler": "euler", "spacing": "karras"}, FEW),
    "heun karras": ({"sampler": "heun", "spacing": "karras"}, (3, 5, 10, 18)),
    "heun log-snr": ({"sampler": "heun", "spacing": "log-snr"}, (3, 5, 10, 18)),
    "heun with churn": ({"sampler": "heun", "spacing": "karras", "churn": 5.0, "churn_max": 50.0}, (10, 18)),
    "dpm-solver++": ({"sampler": "dpm-solver++", "spacing": "log-snr"}, (*FEW, 6, 8, 9, 12, 14)),
    "dpm-solver++ interval": (
        {"sampler": "dpm-solver++", "spacing": "log-snr", "guidance_interval": (0.3, 100.0)},
        (8, 10, 12, 14, 16),
    ),
    "dpm-solver++ karras": ({"sampler": "dpm-solver++", "spacing": "karras"}, FEW),
    "dpm-solver++sde": ({"sampler": "dpm-solver++sde", "spacing": "log-snr"}, FEW),
    "predictor-corrector": ({"sampler": "predictor-corrector", "spacing": "uniform", "snr": 0.05}, (10, 25)),
    "ode": ({"sampler": "ode", "steps": 2, "spacing": "uniform"}, (1e-1, 1e-2, 1e-3)),
}


def rows(names: Sequence[str], base: Sampling, total: int) -> Iterator[tuple[str, Sampling]]:
    """(curve, what is asked for), cheap ones first; the reference last."""
    for name, (asked, points) in CURVES.items():
        if name not in names:
            continue
        for point in sorted(set(points)):
            at = {"tolerance": point} if name == "ode" else {"steps": point}
            yield name, Sampling(**asked | at, guidance=base.guidance, clamp=base.clamp)
    if REFERENCE in names:
        whole = Sampling(sampler="ddpm", spacing="uniform", steps=total, guidance=base.guidance, clamp=base.clamp)
        yield REFERENCE, whole


def cost(model: checkpoint.Model, sampling: Sampling) -> float:
    """Evaluations per image, counted on two of them."""
    with generate.evaluations(model) as seen:
        generate.generate(model, 2, sampling)
    return sum(seen) / 2


def key(line: Mapping[str, Any]) -> str:
    """Return the key that identifies a measurement."""
    return json.dumps([line[name] for name in ("curve", "sampling", "seed", "count", "weights_sha256")])


def measure(
    model: checkpoint.Model, sampling: Sampling, settings: params.Params, seed: int, count: int, scorer: Any
) -> dict[str, Any]:
    """Draw and score."""
    started = time.monotonic()
    with generate.evaluations(model) as seen:
        drawn = generate.generate(model, count, sampling, seed=seed, batch=settings.sample.batch)
    seconds = time.monotonic() - started
    labels = np.array(generate.default_labels(count, len(model.classes)) or [-1] * count)
    extractor, real = scorer
    scores = score(drawn, labels, extractor, real, splits=settings.evaluate.splits)
    found = {name: scores[name] for name in SCORES if name in scores}
    return {"evaluations": sum(seen) / count, "seconds": round(seconds, 1), **found, "extractor": extractor.sha256}


def run(arguments: argparse.Namespace, settings: params.Params, model: checkpoint.Model) -> None:
    """Measure what the file does not hold yet."""
    scorer = reference.load()
    count = arguments.count or settings.sample.count
    known = {key(line) for line in read(arguments.out)}
    for curve, sampling in rows(arguments.names, settings.sample.sampling, model.steps):
        several = curve == REFERENCE or cost(model, sampling) <= arguments.cheap
        for seed in [count * i for i in range(arguments.seeds if several else 1)]:
            changed = {name: getattr(sampling, name) for name in generate.Sampling.__dataclass_fields__}
            line = {"curve": curve, "sampling": changed, "seed": seed, "count": count, "weights_sha256": model.sha256}
            if key(line) in known:
                continue
            line |= measure(model, sampling, settings, seed, count, scorer)
            print(f"{curve}: {line['evaluations']:.0f} evaluations, FID {line['fid']:.3f} (seed {seed})", flush=True)
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def plan(arguments: argparse.Namespace, settings: params.Params, model: checkpoint.Model) -> None:
    """Print what each row will cost on this machine."""
    count = arguments.count or settings.sample.count
    quick, batch = Sampling(sampler="ddim", steps=5), settings.sample.batch
    started = time.monotonic()
    generate.generate(model, batch, quick, batch=batch)
    speed = 5 * batch / (time.monotonic() - started)
    alone = 20 / _seconds(model, Sampling(sampler="ddim", steps=20))
    print(f"{speed:,.0f} evaluations a second in batches of {batch}, {alone:,.0f} one by one; {count} images a row")
    total = 0.0
    for curve, sampling in rows(arguments.names, settings.sample.sampling, model.steps):
        each = cost(model, sampling)
        times = arguments.seeds if curve == REFERENCE or each <= arguments.cheap else 1
        minutes = each * count * times / (alone if sampling.sampler == "ode" else speed) / 60
        total += minutes
        print(f"{curve:24}{sampling.steps:5} levels {each:7.0f} evaluations x {times} seeds {minutes:8.1f} min")
    print(f"{total:,.0f} minutes in all, and {len(list(rows(arguments.names, quick, model.steps)))} scorings")


def _seconds(model: checkpoint.Model, sampling: Sampling) -> float:
    started = time.monotonic()
    generate.generate(model, 1, sampling)
    return time.monotonic() - started


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file; none where there is none yet."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def points(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lines of the same row with other seeds as one: means, and the standard deviation of FID."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(json.dumps([line["curve"], line["sampling"]]), []).append(line)
    merged = []
    for group in groups.values():
        fids = [line["fid"] for line in group]
        means = {name: statistics.fmean(line[name] for line in group) for name in ("evaluations", "inception_score")}
        spread = statistics.stdev(fids) if len(fids) > 1 else None
        merged.append({**group[0], **means, "fid": statistics.fmean(fids), "spread": spread, "seeds": len(fids)})
    return merged


def table(merged: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, by curve and cost. Bold: at most 20 evaluations, and no worse than the reference within its spread."""
    limit = worst(merged)
    text = ["| sampler | levels | evaluations | FID | seeds | Inception Score |", "|---|---:|---:|---:|---:|---:|"]
    for row in sorted(merged, key=lambda row: (row["curve"] == REFERENCE, row["curve"], row["evaluations"])):
        fid = f"{row['fid']:.2f}" + ("" if row["spread"] is None else f" ± {row['spread']:.2f}")
        good = limit is not None and row["evaluations"] <= 20 and row["fid"] <= limit
        levels = f"tolerance {row['sampling']['tolerance']:g}" if row["curve"] == "ode" else row["sampling"]["steps"]
        cells = (row["curve"], levels, f"{row['evaluations']:.0f}", f"**{fid}**" if good else fid, row["seeds"])
        text.append(f"| {' | '.join(map(str, cells))} | {row['inception_score']:.2f} |")
    return "\n".join(text) + "\n"


def worst(merged: Sequence[Mapping[str, Any]]) -> float | None:
    """FID of ancestral sampling over all levels, and its spread on top; None if it was not measured."""
    found = [row for row in merged if row["curve"] == REFERENCE]
    return found[0]["fid"] + (found[0]["spread"] or 0) if found else None


def plot(merged: Sequence[Mapping[str, Any]]) -> bytes:
    """FID over evaluations, both logarithmic, a line for each curve; the reference as a band."""
    figure = Figure(figsize=(plots.WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    colours = ["#3b82d6", "#e0802a", "#3fa66b", "#c0504d", "#8f6bc0", "#8a6d3b", "#d670a5"]
    names = list(dict.fromkeys(row["curve"] for row in merged if row["curve"] != REFERENCE))
    for i, name in enumerate(names):
        chosen = sorted((row for row in merged if row["curve"] == name), key=lambda row: row["evaluations"])
        axes.errorbar(
            [row["evaluations"] for row in chosen], [row["fid"] for row in chosen],
            yerr=[row["spread"] or 0 for row in chosen], label=name, color=colours[i % len(colours)],
            linestyle="-" if i < len(colours) else "--", linewidth=1.6, marker="o", markersize=3.5,
        )  # fmt: skip
    for row in merged:
        if row["curve"] == REFERENCE:
            low, high = row["fid"] - (row["spread"] or 0), row["fid"] + (row["spread"] or 0)
            axes.axhspan(low, max(high, low * 1.005), color=plots.GREY, alpha=0.45, linewidth=0)
            axes.annotate(f"ancestral, all {row['sampling']['steps']} levels", (0.02, low), (0, -11),
                          xycoords=("axes fraction", "data"), textcoords="offset points",
                          color=plots.GREY, fontsize=9)  # fmt: skip
    axes.set(xscale="log", yscale="log")
    axes.set_ylim(top=HIGHEST * min(row["fid"] for row in merged))  # far worse ones are in the table only
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    plots._tidy(axes)
    axes.set_xlabel("evaluations of the network per image", color=plots.GREY)
    axes.set_ylabel("FID", color=plots.GREY)
    figure.legend(loc="outside right upper", frameon=False, labelcolor=plots.GREY, fontsize=9)
    return plots.png(figure)


def main() -> None:
    """Plan, measure or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*CURVES, REFERENCE]
    parser.add_argument("names", nargs="*", default=every, help=f"curves; default: all of {', '.join(every)}")
    parser.add_argument("--out", type=Path, default=Path("samplers.jsonl"), help="file of JSON lines to append to")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--count", type=int, help="images a row; default: sample.count")
    parser.add_argument("--guidance", type=float, help="default: sample.guidance")
    parser.add_argument("--seeds", type=int, default=3, help="of cheap rows and of the reference")
    parser.add_argument("--cheap", type=float, default=60, help="evaluations up to which a row is drawn from all seeds")
    parser.add_argument("--plan", action="store_true", help="only say what the rows cost")
    parser.add_argument("--report", type=Path, help="only write samplers-measured.md and samplers.png into this folder")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(every)
    if unknown:
        parser.error(f"there is no curve {', '.join(sorted(unknown))}; there are: {', '.join(every)}")
    if arguments.report:
        lines = read(arguments.out)
        if len({line["weights_sha256"] for line in lines}) != 1:
            parser.error(f"{arguments.out} has rows of no model, or of several: they do not compare")
        merged = points(lines)
        files.write_text(arguments.report / "samplers-measured.md", HEADING + table(merged))
        files.write_bytes(arguments.report / "samplers.png", plot(merged))
        print(table(merged))
        return
    settings = params.load()
    if arguments.guidance is not None:
        chosen = {"guidance": arguments.guidance}
        settings = settings.model_copy(update={"sample": settings.sample.model_copy(update=chosen)})
    (plan if arguments.plan else run)(arguments, settings, checkpoint.load(arguments.model))


if __name__ == "__main__":
    main()
