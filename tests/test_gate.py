"""The gate: who becomes champion, and why not."""

import copy
import json

import pytest

from ddpm import gate

LIMITS = {"max_fid": 60.0, "min_inception_score": 6.0, "min_class_share": 0.02, "min_improvement": 0.02}


def measured(fid, weights, **changes):
    conditions = {
        "extractor": "classifier", "extractor_sha256": "e", "reference_sha256": "r", "count": 2000, "seed": 0,
        "sampler": "dpm-solver++", "steps": 20, "guidance": 1.0, "weights_sha256": weights,
    }  # fmt: skip
    scores = {
        "fid": fid,
        "fid_floor": 9.0,
        "inception_score": 8.4,
        "inception_score_real": 9.4,
        "class_share_min": 0.08,
    }
    conditions.update({k: v for k, v in changes.items() if k in conditions})
    scores.update({k: v for k, v in changes.items() if k not in conditions})
    return {**scores, "conditions": conditions}


def test_the_first_good_version_becomes_champion():
    verdict = gate.decide(measured(30.0, "a"), None, **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("first", True)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"fid": 60.1}, "FID is 60.1; the limit is at most 60"),
        ({"inception_score": 5.9}, "Inception Score is 5.9; the limit is at least 6"),
        ({"class_share_min": 0.0}, "smallest class share is 0; the limit is at least 0.02"),
    ],
)
def test_a_version_outside_a_limit_is_never_promoted(changes, word):
    for champion in (None, measured(100.0, "b")):
        verdict = gate.decide({**measured(30.0, "a"), **changes}, champion, **LIMITS)
        assert (verdict.verdict, verdict.promote, verdict.reasons) == ("outside limits", False, (word,))


def test_exactly_at_the_limits_passes():
    at = measured(60.0, "a", inception_score=6.0, class_share_min=0.02)
    assert gate.decide(at, None, **LIMITS).promote


@pytest.mark.parametrize(
    ("fid", "outcome", "promote"),
    [(29.4, "better", True), (29.5, "too close", False), (30.0, "too close", False), (30.1, "worse", False)],
)
def test_only_a_sufficient_gain_replaces_the_champion(fid, outcome, promote):
    verdict = gate.decide(measured(fid, "a"), measured(30.0, "b"), **LIMITS)
    assert (verdict.verdict, verdict.promote) == (outcome, promote)
    assert "30" in verdict.reasons[0]
    assert f"{fid:.4g}" in verdict.reasons[0]


def test_an_equal_score_is_no_gain_even_when_none_is_asked():
    assert gate.decide(measured(30.0, "a"), measured(30.0, "b"), min_improvement=0.0).verdict == "too close"


@pytest.mark.parametrize(
    ("key", "value"),
    [("extractor_sha256", "other"), ("reference_sha256", "other"), ("count", 100), ("seed", 1), ("guidance", 2.0)],
)
def test_scores_measured_differently_are_not_compared(key, value):
    verdict = gate.decide(measured(10.0, "a"), measured(30.0, "b", **{key: value}), **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("refused", False)
    assert any(reason.startswith(f"{key}:") and str(value) in reason for reason in verdict.reasons)


def test_a_condition_known_on_one_side_only_is_a_difference():
    candidate, champion = measured(10.0, "a"), measured(30.0, "b")
    del champion["conditions"]["sampler"]
    verdict = gate.decide(candidate, champion, **LIMITS)
    assert verdict.reasons[1:] == ("sampler: candidate dpm-solver++, champion nothing",)


def test_the_champions_own_weights_change_nothing():
    verdict = gate.decide(measured(30.0, "a"), measured(30.0, "a", count=100), **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("unchanged", False)


@pytest.mark.parametrize("fid", [None, float("nan"), float("inf"), "12"])
def test_a_score_that_is_no_number_is_refused(fid):
    verdict = gate.decide(measured(fid, "a"), None)
    assert (verdict.verdict, verdict.promote) == ("refused", False)


def test_a_limit_without_its_score_is_refused_and_without_the_limit_passes():
    unlabelled = measured(30.0, "a")
    del unlabelled["class_share_min"]
    verdict = gate.decide(unlabelled, None, **LIMITS)
    assert verdict.verdict == "refused"
    assert "smallest class share" in verdict.reasons[0]
    assert gate.decide(unlabelled, None, **{**LIMITS, "min_class_share": None}).promote


def test_the_table_has_floor_limit_and_both_models():
    verdict = gate.decide(measured(29.0, "a"), measured(30.0, "b"), **LIMITS)
    fid = verdict.rows[0]
    assert (fid.name, fid.candidate, fid.champion, fid.floor, fid.limit, fid.ok) == (
        "FID", 29.0, 30.0, 9.0, "at most 60", True,
    )  # fmt: skip
    json.dumps(verdict.as_json(), allow_nan=False)


def test_deciding_changes_nothing():
    candidate, champion = measured(29.0, "a"), measured(30.0, "b")
    before = copy.deepcopy((candidate, champion))
    gate.decide(candidate, champion, **LIMITS)
    assert (candidate, champion) == before


def test_a_version_that_was_rolled_back_is_not_promoted_by_its_scores():
    verdict = gate.decide(measured(10.0, "a"), measured(30.0, "b"), **LIMITS, withdrawn="sevens upside down")
    assert (verdict.verdict, verdict.promote) == ("withdrawn", False)
    assert "sevens upside down" in verdict.reasons[0]
