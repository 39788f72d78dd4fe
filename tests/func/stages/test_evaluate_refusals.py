"""Inputs that evaluate and features refuse, naming the remedy."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.evaluation.features import train_classifier
from ddpm.stages import evaluate, features
from tests.func.stages.conftest import contents
from tests.support.evaluated_project import CHANGES, write_params


def test_too_few_samples_are_refused_and_old_scores_stay(evaluated: Path) -> None:
    before = contents(evaluated / "out/evaluate")
    for name in ("images", "labels"):
        files.write_npy(Path(f"out/sample/{name}.npy"), np.load(f"out/sample/{name}.npy")[:49])
    with pytest.raises(ValueError, match=r"the samples: 49 images are too few"):
        evaluate.main()
    assert contents(evaluated / "out/evaluate") == before


def test_missing_inputs_say_which_stage_to_run(evaluated: Path) -> None:
    shutil.rmtree("out/sample")
    with pytest.raises(FileNotFoundError, match="dvc repro sample"):
        evaluate.main()
    shutil.rmtree("out/features")
    with pytest.raises(FileNotFoundError, match="dvc repro features"):
        evaluate.main()


def test_a_changed_extractor_is_refused(evaluated: Path) -> None:
    path = Path("out/features/extractor.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was changed after it was written"):
        reference.load()


def test_features_of_other_images_are_refused(evaluated: Path) -> None:
    path = Path("out/features/train_features.npy")
    files.write_npy(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match="made from other images"):
        evaluate.main()


def test_an_empty_history_is_named(evaluated: Path) -> None:
    files.write_text(Path("out/train/history.csv"), "images,loss,lr,grad_norm\n")
    with pytest.raises(ValueError, match=r"history\.csv is empty"):
        evaluate.main()


def test_missing_inception_weights_are_named_and_nothing_stands_in(evaluated: Path) -> None:
    before = contents(evaluated / "out/features")
    write_params(CHANGES | {"features": {"extractor": "inception", "weights": "models/inception.pth"}})
    with pytest.raises(ValueError, match=r"'models/inception\.pth' is not a file.*weights-inception-2015-12-05-67268"):
        features.main()
    assert contents(evaluated / "out/features") == before


def test_one_class_cannot_be_told_apart(evaluated: Path) -> None:
    single = replace(prepared.load(), classes=("dark",))
    with pytest.raises(ValueError, match="needs at least two classes"):
        train_classifier(single, "cpu", images=100, batch=10, width=8, lr=1e-3, seed=0)
