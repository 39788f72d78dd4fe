"""The lines that `ddpm score` prints for a reader."""

import pytest

from ddpm.cli import score

RESULT = {
    "fid": 2.3456789,
    "fid_infinity": 0.0123456,
    "class_accuracy": 0.9876543,
    "nearest_train_distance": 12345.678,
    "memorisation": {"heldout_with_near_copy": 240},
    "floors": {"fid": {"equal_counts": 0.70412345, "copy": 0.0}},
    "conditions": {"extractor": "classifier", "count": 240, "full_rank": True},
}


def test_scores_have_the_names_and_three_digits_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    score._print(dict(RESULT), as_json=False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        "FID (classifier, 240 images) 2.35 (real images: equal counts 0.704)",
        "FID (classifier, 240 images) infinity 0.0123",
        "class accuracy 98.8%",
        "nearest train distance 12,346",
        "memorisation heldout with near copy 240",
    ]
