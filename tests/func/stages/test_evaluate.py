"""The features and evaluate stages on real files: two classes of 8x8 images and a model of random weights."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ddpm.common import files
from ddpm.config import params
from ddpm.config.sections.pipeline import RELATIVE_LIMITS
from ddpm.data import prepared
from ddpm.evaluation import gate, reference, score_folder
from ddpm.metrics.precision_recall import nearest
from ddpm.report import page
from ddpm.stages import evaluate, features
from tests.func.stages.conftest import contents
from tests.support.evaluated_project import CHANGES, write_params


def test_metrics_have_scores_floors_and_all_conditions(evaluated_once: Path) -> None:
    metrics = files.read_json(evaluated_once / evaluate.METRICS)
    summary = files.read_json(evaluated_once / "out/features/features.json")
    assert summary["heldout_accuracy"] == metrics["extractor_accuracy"] > 0.95
    for score, floors in summary["floors"].items():
        assert floors.items() <= metrics["floors"][score].items()
    assert metrics["fid_equal_counts"] == metrics["floors"]["fid"]["equal_counts"] > 0
    assert metrics["fid_floor"] == summary["floors"]["fid"]["heldout"]
    assert metrics["fid"] > 5 * metrics["fid_halves"]  # random weights
    assert set(metrics["class_histogram"]) == {"dark", "light"}
    conditions = metrics["conditions"]
    assert conditions["extractor_sha256"] == files.sha256_file(evaluated_once / "out/features/extractor.safetensors")
    assert conditions["weights_sha256"] == files.sha256_file(evaluated_once / "out/train/model/weights.safetensors")
    assert {"seed", "sampler", "steps", "spacing", "guidance", "clamp", "eta", "variance"} <= conditions.keys()
    assert (conditions["count"], conditions["inception_score_splits"]) == (100, 2)
    assert "batch" not in conditions


def test_auto_is_the_classifier_where_there_are_labels(evaluated: Path) -> None:
    """Weights, features and statistics are the same, to the byte."""
    assert params.load().features.extractor == "auto"
    before = contents(evaluated / "out/features")
    write_params({**CHANGES, "features": {**CHANGES["features"], "extractor": "classifier"}})
    features.main()
    assert contents(evaluated / "out/features") == before
    assert files.read_json(evaluated / evaluate.METRICS)["conditions"]["extractor"] == "classifier"


def test_pictures_and_page_are_there(evaluated: Path) -> None:
    pictures = evaluated / evaluate.PICTURES
    names = {
        "samples", "first_samples", "real_and_generated", "denoising", "neighbours", "neighbours_worst", "schedule",
        "training", "classes", "extremes_confidence", "extremes_neighbour",
    }  # fmt: skip
    assert {path.stem for path in pictures.glob("*.png")} == names
    for path in pictures.glob("*.png"):
        Image.open(path).verify()
    assert not page.make(None)
    html = page.PAGE.read_text()
    assert html.count("<img ") == len(names)
    assert files.read_json(evaluated / "out/train/model/config.json")["digest"] in html


def test_the_worst_pairs_are_those_that_the_record_names(evaluated_once: Path) -> None:
    worst = files.read_json(evaluated_once / evaluate.METRICS)["memorisation"]["worst"]
    extractor, real = reference.load(evaluated_once / "out/features")
    with score_folder.extracted(evaluated_once / "out/sample", extractor, real) as drawn:
        train = np.flatnonzero(~prepared.load(evaluated_once / "out/prepare").heldout)
        pairs = score_folder.neighbours(drawn, train, [sample for sample, *_ in worst])
    assert [[pair["sample"], pair["training"][0], pair["distances"][0]] for pair in pairs] == worst
    assert [pair["distances"][0] for pair in pairs] == sorted(pair["distances"][0] for pair in pairs)


def test_neighbours_name_prepared_training_images_of_each_class(evaluated_once: Path) -> None:
    pairs = files.read_json(evaluated_once / evaluate.PICTURES / "neighbours.json")
    heldout = np.load(evaluated_once / "out/prepare/heldout.npy")
    labels = np.load(evaluated_once / "out/sample/labels.npy")
    assert [labels[pair["sample"]] for pair in pairs[:2]] in ([0, 1], [1, 0])
    extractor, real = reference.load(evaluated_once / "out/features")
    distances = nearest(extractor(np.load(evaluated_once / "out/sample/images.npy")), real.train)[1][:, 0]
    for pair in pairs[:2]:
        closest = distances[labels == labels[pair["sample"]]].min()
        assert pair["distances"][0] == pytest.approx(closest, rel=1e-5)
    for pair in pairs:
        assert not heldout[pair["training"]].any()
        assert pair["distances"] == sorted(pair["distances"])


def test_running_again_gives_the_same_bytes(evaluated: Path) -> None:
    before = contents(evaluated / "out")
    shutil.rmtree("out/features")
    shutil.rmtree("out/evaluate")
    features.main()
    evaluate.main()
    after = contents(evaluated / "out")
    assert [name for name in before if after[name] != before[name]] == []
    assert after.keys() == before.keys()


def test_outputs_name_no_place_and_no_time(evaluated_once: Path) -> None:
    for folder in ("features", "evaluate"):
        for name, content in contents(evaluated_once / "out" / folder).items():
            assert str(evaluated_once).encode() not in content, name
            if name.endswith((".json", ".html")):
                assert not re.search(rb"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", content), name


def test_samples_that_are_training_images_are_noticed(evaluated: Path) -> None:
    labels, heldout = np.load("out/prepare/labels.npy"), np.load("out/prepare/heldout.npy")
    chosen = np.flatnonzero(~heldout)[:200]
    files.write_npy(Path("out/sample/images.npy"), np.load("out/prepare/images.npy")[chosen])
    files.write_npy(Path("out/sample/labels.npy"), labels[chosen])
    evaluate.main()
    assert files.read_json(evaluate.METRICS)["memorisation_ratio"] < 0.01
    page.make(None)
    assert "look for copies" in page.PAGE.read_text()


@pytest.mark.parametrize(
    ("kind", "outside"),
    [
        ("noise", ["FID ratio to real images", "class accuracy", "recall"]),
        ("one image", ["FID ratio to real images", "class accuracy", "recall", "memorisation ratio"]),
        ("new images of the same kind", []),
        ("copies", ["memorisation ratio"]),
    ],
)
def test_the_default_limits_tell_what_was_learnt(evaluated: Path, kind: str, outside: list[str]) -> None:
    images, labels = samples_of(kind)
    files.write_npy(Path("out/sample/images.npy"), images)
    files.write_npy(Path("out/sample/labels.npy"), labels)
    evaluate.main()
    verdict = gate.decide(files.read_json(evaluate.METRICS), None, **RELATIVE_LIMITS)
    assert verdict.verdict == ("outside limits" if outside else "first"), verdict.reasons
    assert {row.name for row in verdict.rows if row.ok is False} == set(outside), verdict.rows


def samples_of(kind: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """200 images, half of them `dark`, half `light`, as a model would have drawn them that learnt this."""
    random, labels = np.random.default_rng(1), np.arange(200) % 2
    prepared_images, heldout = np.load("out/prepare/images.npy"), np.load("out/prepare/heldout.npy")
    prepared_labels = np.load("out/prepare/labels.npy")
    of_class = [np.flatnonzero(~heldout & (prepared_labels == label)) for label in (0, 1)]
    match kind:
        case "noise":
            images = random.integers(0, 256, (200, 8, 8, 1))
        case "one image":
            images = np.repeat(prepared_images[of_class[0][:1]], 200, axis=0)
        case "copies":
            images = prepared_images[[of_class[label][i // 2] for i, label in enumerate(labels)]]
        case _:
            images = random.integers(0, 100, (200, 8, 8, 1)) + 150 * labels[:, None, None, None]
    return images.astype(np.uint8), labels.astype(np.int64)


def test_accuracy_of_real_images_counts_the_classes_as_the_samples_do(evaluated: Path) -> None:
    """One rare class is never recognised: real images rarely contain it, equal class shares half of the time."""
    extractor, real = reference.load()
    data = prepared.load()
    held = data.labels[data.heldout_indices]
    features = real.heldout[np.concatenate([np.flatnonzero(held == 0)] * 2)][: len(held)]
    equal = np.arange(100) % 2
    found = score_folder.accuracy_of_real_images(equal, extractor, replace(real, heldout=features), data)
    assert found == pytest.approx(0.5, abs=0.05)
    assert score_folder.accuracy_of_real_images(equal, extractor, real, data) > 0.95
    assert score_folder.accuracy_of_real_images(np.zeros(9, np.int64), extractor, real, data) > 0.95


def test_unlabelled_samples_have_no_accuracy(evaluated: Path) -> None:
    files.write_npy(Path("out/sample/labels.npy"), np.full(100, -1))
    evaluate.main()
    assert "class_accuracy" not in files.read_json(evaluate.METRICS)


def test_the_real_inception_score_uses_the_same_splits(evaluated: Path) -> None:
    before = files.read_json(evaluate.METRICS)
    write_params(CHANGES | {"evaluate": CHANGES["evaluate"] | {"splits": 4}})
    assert params.load().evaluate.splits == 4
    evaluate.main()
    after = files.read_json(evaluate.METRICS)
    assert before["inception_score_real"] != after["inception_score_real"]
    assert before["fid"] == after["fid"]
