"""A page of known numbers, for tests."""

from ddpm.evaluation import gate
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.report import page
from ddpm.report.picture import Picture
from ddpm.report.run_summary import RunSummary

METRICS = {
    "fid": 3.21, "fid_floor": 1.4, "fid_halves": 1.07, "fid_equal_counts": 0.803,
    "inception_score": 9.1, "inception_score_std": 0.2,
    "inception_score_real": 9.6, "class_accuracy": 0.971, "class_share_min": 0.081, "class_histogram": {"0": 1.0},
    "nearest_train_distance": 5.5, "nearest_heldout_baseline": 5.6, "memorisation_ratio": 0.98,
    "extractor_accuracy": 0.99,
    "blocks": {"count": 8, "values": {"fid": [3.4, 3.5, 3.3, 3.2, 3.5, 3.4, 3.3, 3.6]}},
    "conditions": {"extractor": "classifier", "count": 2000, "reference_count": 3972, "feature_dimension": 128,
                   "inception_score_splits": 10, "full_rank": True, "weights_sha256": "77" * 32},
}  # fmt: skip
MORE = {
    "kid": 0.0123, "kid_se": 0.0031, "precision": 0.812, "recall": 0.74, "precision_k5": 0.9,
    "spread": {"fid": {"mean": 3.3, "std": 0.123}, "precision": {"mean": 0.8, "std": 0.011}},
    "floors": {"fid": {"heldout": 1.41, "halves": 1.08, "noise": 310.0, "copy": 0.41}},
    "memorisation": {"ratio": 0.98, "p_value": 0.25, "exact_copies": 3, "near_copies": 21, "near_copies_expected": 20.0,
                     "threshold": 0.3, "flagged": True},
}  # fmt: skip
"""What a fuller evaluation has."""
CHAMPION = METRICS | {
    "fid": 4.0, "conditions": METRICS["conditions"] | {"weights_sha256": "88" * 32},
    "blocks": {"count": 8, "values": {"fid": [4.1, 4.3, 4.2, 4.0, 4.4, 4.2, 4.1, 4.3]}},
}  # fmt: skip
PNG = b"\x89PNG of a picture"
PICTURES = [
    Picture(PNG, "Samples", "The first ones.", 'Grid "of" <images>', "samples", "images"),
    Picture(PNG, "B", "c", "d", "training", "training"),
    Picture(PNG, "E", "e", "f", "neighbours", "memorisation"),
]
STATISTICS = {"count": 5000, "train": 4000, "heldout": 1000, "sha256": "ab" * 32}
CONFIG = {"digest": "cd" * 32, "diffusion": {"T": 1000}}
TOOK = {"seconds": 300.0, "cpu_seconds": 540.0, "gpu_seconds": 0.0}
DRIFT = {
    "champion": {"version": 2, "data_sha256": "ef" * 32},
    "data_sha256": "ab" * 32,
    "tests": [{"name": "brightness", "kind": "Kolmogorov-Smirnov", "effect": 0.21, "limit": 0.1, "p_value": 1e-9,
               "p_corrected": 4e-9, "old": "mean 33.2", "new": "mean 40.1"}],
    "images": {"new": 230, "removed": 30, "kept": 4770}, "classes": {"0": [500, 510], "1": [480, 480]},
    "feature_distance": {"value": 1.4, "floor": 0.9}, "notes": [], "drift": 0.21, "limit": 0.1, "verdict": "beyond",
    "words": "230 new, 30 removed; different from the champion's data in brightness 0.21",
}  # fmt: skip


def summary(metrics=METRICS, champion=CHAMPION, **changes):
    """Make the summary of a run that judged `metrics` against `champion`."""
    verdict = gate.decide(metrics, champion, max_fid=10.0, min_improvement=0.02)
    known = {
        "scores_sha256": "0" * 64, "heading": "promoted: the new champion", "tone": "good",
        "verdict": verdict.as_json(), "champion": champion, "seconds": 400.0, "hardware": "2 CPU cores",
        "registered": {"name": "digits", "version": 3, "aliases": ["champion"], "champion": 3, "run_id": "a1b2"},
        "stages": [
            {"stage": "prepare", "did": "Cached", "seconds": 0.4, "cpu_seconds": 0.2, "gpu_seconds": 0.0, "made": None},
            {"stage": "train", "did": "Completed", **TOOK, "made": TOOK},
        ],
        "lineage": {"ddpm.git_sha": "5e" * 20, "ddpm.git_dirty": "false", "ddpm.data_hash": "c0b6.dir"},
    }  # fmt: skip
    return RunSummary(**(known | changes))


def row(made, name):
    """Return the line of a score in the page's table."""
    return next(line for line in made.scores.lines if line.name == name)


def composed(metrics=METRICS, config=CONFIG, pictures=PICTURES, **known):
    """The page."""
    return page.compose(ScoreRecord.from_json(metrics), pictures, statistics=STATISTICS, config=config, **known)
