"""The typed record of scores: what it takes from metrics.json, and what counts as missing."""

import math

import pytest

from ddpm.evaluation.score_record import SCORES, ScoreRecord, description, fid_name, with_extractor


def test_an_empty_evaluation_has_no_scores() -> None:
    record = ScoreRecord.from_json({})
    assert all(getattr(record, name) is None for name in SCORES)
    assert (record.chance, record.fid_blocks, record.refused, record.fid_ratio) == (0, (), "", None)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "3", None, [3.0]])
def test_only_a_finite_number_is_a_score(value: object) -> None:
    record = ScoreRecord.from_json({"fid": value, "floors": {"recall": {"halves": value}}})
    assert record.fid is None
    assert record.floor("recall", "halves") is None
    assert record.has("fid") == (value is not None)


def test_the_ratio_is_one_for_as_many_real_images() -> None:
    """Halves of 500 images at a distance of 4: 1,000 samples against 1,000 images are expected at 2."""
    measured = {
        "fid": 2,
        "floors": {"fid": {"halves": 4.0}},
        "floor_counts": {"halves": 500},
        "conditions": {"count": 1000, "reference_count": 1000, "feature_dimension": 128},
        "blocks": {"values": {"fid": [2.5, 2.7]}},
        "class_histogram": {"a": 0.5, "b": 0.5},
        "spread": {"fid": {"mean": 2.6, "std": 0.1}, "kid": {"mean": 0.1, "std": math.nan}},
        "density": 0.9,
    }
    record = ScoreRecord.from_json(measured)
    assert record.fid_ratio == pytest.approx(1)
    assert (record.fid, record.fid_blocks, record.chance) == (2.0, (2.5, 2.7), 0.5)
    assert (dict(record.spread), record.value("density"), record.value("class_histogram")) == ({"fid": 0.1}, 0.9, None)


def test_the_distance_of_held_out_images_beyond_their_count_is_part_of_the_floor() -> None:
    """Held-out images are 3 farther from the training images than the counts explain: so are new ones."""
    counts = {"halves": 500, "heldout": 250}
    measured = {
        "fid": 10,
        "floors": {"fid": {"halves": 4.0, "heldout": 1000 * (1 / 1000 + 1 / 250) + 3}},
        "floor_counts": counts,
        "conditions": {"count": 1000, "reference_count": 1000, "feature_dimension": 128},
    }
    assert ScoreRecord.from_json(measured).fid_ratio == pytest.approx(2)


def test_a_refusal_is_kept() -> None:
    assert ScoreRecord.from_json({"refused": "other classes"}).refused == "other classes"


def test_fid_is_named_with_its_extractor_once() -> None:
    conditions = {"extractor": "classifier", "count": 2000}
    assert fid_name(conditions) == "FID (classifier, 2,000 images)"
    named = "FID (classifier, 2,000 images)"
    said = with_extractor("FID 3 against 4; FID ratio to real images; sFID; FID (inception) 5", conditions)
    assert said == f"{named} 3 against 4; {named} ratio to real images; sFID; FID (inception) 5"
    assert with_extractor(said, conditions) == said
    assert with_extractor("FID∞ 2", conditions) == "FID∞ (classifier, 2,000 images) 2"
    assert fid_name({}) == "FID (unknown extractor)"
    assert description({"fid": 3.2, "conditions": conditions}) == "FID (classifier, 2,000 images) 3.20"
    assert description({"fid": None}) == ""


def test_chance_is_that_of_the_shares_in_which_classes_were_requested() -> None:
    """If classes are drawn independently with shares 0.7, 0.2 and 0.1, a share of 0.54 matches the request."""
    measured = {"class_histogram": {"a": 0.6, "b": 0.3, "c": 0.1}}
    assert ScoreRecord.from_json(measured).chance == pytest.approx(1 / 3)
    shares = {"class_shares_requested": {"a": 0.7, "b": 0.2, "c": 0.1}}
    assert ScoreRecord.from_json(measured | shares).chance == pytest.approx(0.54)


def test_an_older_record_was_sampled_in_fp32_and_not_compiled() -> None:
    """Records of sampled images lack these conditions if they are old; scores of other images never have them."""
    old = ScoreRecord.from_json({"conditions": {"weights_sha256": "a"}}).conditions
    assert old == {"weights_sha256": "a", "precision": "fp32", "compile": False}
    new = ScoreRecord.from_json(
        {"conditions": {"weights_sha256": "a", "precision": "bf16", "compile": True}}
    ).conditions
    assert (new["precision"], new["compile"]) == ("bf16", True)
    assert ScoreRecord.from_json({"conditions": {"count": 10}}).conditions == {"count": 10}
