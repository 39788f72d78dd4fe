"""The gate: who becomes champion, and why not."""

import copy
import json

import pytest

from ddpm.evaluation import gate
from tests.support.evaluations import LIMITS, blocks, measured


def test_the_first_good_version_becomes_champion():
    verdict = gate.decide(measured(30.0, "a"), None, **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("first", True)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"fid": 60.1}, "FID is 60.1; the limit is at most 60"),
        ({"inception_score": 5.9}, "Inception Score is 5.90; the limit is at least 6"),
        ({"class_share_min": 0.0}, "smallest class share is 0%; the limit is at least 2%"),
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
    [(29.4, "better", True), (29.5, "inconclusive", False), (30.0, "inconclusive", False), (30.1, "worse", False)],
)
def test_only_a_sufficient_gain_replaces_the_champion(fid, outcome, promote):
    verdict = gate.decide(measured(fid, "a"), measured(30.0, "b", blocks=blocks(30.0, own=0.02)), **LIMITS)
    assert (verdict.verdict, verdict.promote) == (outcome, promote)
    assert "30" in verdict.reasons[0]
    assert f"{fid:.4g}" in verdict.reasons[0]
    assert "95% confidence interval" in verdict.reasons[0]


def test_an_equal_score_is_no_gain_even_when_none_is_asked():
    assert gate.decide(measured(30.0, "a"), measured(30.0, "b"), min_improvement=0.0).verdict == "inconclusive"


def test_a_gain_in_half_of_the_blocks_may_be_chance():
    """The set's FID is far lower, and the blocks do not agree."""
    lucky = measured(28.0, "a", blocks=blocks(29.9, own=3.0))
    verdict = gate.decide(lucky, measured(30.0, "b"), **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("inconclusive", False)
    assert verdict.reasons[0].endswith("which includes 0")
    assert verdict.comparison.low < 0 < verdict.comparison.high


def test_the_asked_confidence_decides():
    close = measured(29.0, "a", blocks={"values": {"fid": [29.0, 29.5, 29.0, 30.1, 29.0, 29.8, 29.4, 30.2]}})
    champion = measured(30.0, "b", blocks={"values": {"fid": [30.0] * 8}})
    outcomes = [gate.decide(close, champion, **LIMITS, confidence=each).verdict for each in (0.8, 0.999)]
    assert outcomes == ["better", "inconclusive"]


@pytest.mark.parametrize(("found", "said"), [([], "without seed blocks"), ([30.0] * 5, "5 pairs are too few")])
def test_without_a_valid_comparison_the_champion_stays(found, said):
    values = [[each - gap for each in found] for gap in (20.0, 0.0)]
    candidate, champion = (
        measured(fid, name, blocks={"values": {"fid": each}})
        for fid, name, each in zip((10.0, 30.0), "ab", values, strict=True)
    )
    verdict = gate.decide(candidate, champion, **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("inconclusive", False)
    assert said in verdict.reasons[0]
    assert "evaluate.blocks" in verdict.reasons[0]


@pytest.mark.parametrize(("rise", "outcome"), [(0.0016, "better"), (0.0018, "regressed")])
def test_kid_may_rise_by_what_chance_explains_of_the_paired_subsets(rise, outcome):
    """20 differences of deviation 0.004499: the one-sided 95 % reach is 1.7291 * 0.004499 / sqrt(20) = 0.00174."""
    shared = [0.02 * (-1) ** i for i in range(20)]  # of the real images: it cancels
    own = [0.00438505 * (1 if i % 4 < 2 else -1) for i in range(20)]
    champion = measured(30.0, "b", kid=0.001, kid_se=0.01, kid_subsets=[0.001 + each for each in shared])
    values = [0.001 + rise + each + mine for each, mine in zip(shared, own, strict=True)]
    verdict = gate.decide(measured(20.0, "a", kid=0.001 + rise, kid_subsets=values), champion, **LIMITS)
    assert verdict.verdict == outcome


def test_the_reason_explains_the_required_gain():
    for fid, outcome in ((29.0, "better"), (29.9, "inconclusive")):
        verdict = gate.decide(measured(fid, "a"), measured(30.0, "b"), **LIMITS)
        assert verdict.verdict == outcome
        assert "another training seed of the same recipe also changes FID" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("champion", "candidate", "outcome"),
    [
        ({}, {"kid": 0.011}, "better"),
        ({}, {"kid": 0.01101}, "regressed"),
        ({"kid": 0.01, "kid_se": 0.01}, {"kid": 0.0115}, "regressed"),  # noise of a single KID, which the two share
        ({"recall": 0.75}, {}, "better"),
        ({"recall": 0.751}, {}, "regressed"),
        ({}, {"memorisation_ratio": 0.93}, "better"),
        ({}, {"memorisation_ratio": 0.929}, "regressed"),
        ({"memorisation_ratio": 1.4}, {"memorisation_ratio": 0.96}, "better"),  # nearer to what new images have
        ({"memorisation_ratio": 1.4}, {"memorisation_ratio": 0.94}, "regressed"),
        ({"memorisation_ratio": None}, {"memorisation_ratio": None}, "better"),  # no held-out images
        ({"facts_deviation": 2.0}, {"facts_deviation": 3.0}, "better"),  # series: within one spread of real blocks
        ({"facts_deviation": 2.0}, {"facts_deviation": 3.01}, "regressed"),
    ],
)
def test_a_gain_in_fid_may_not_cost_another_score(champion, candidate, outcome):
    verdict = gate.decide(measured(20.0, "a", **candidate), measured(30.0, "b", **champion), **LIMITS)
    assert (verdict.verdict, verdict.promote) == (outcome, outcome == "better")
    if outcome == "regressed":
        (row,) = [row for row in verdict.rows if row.ok is False]
        assert verdict.reasons[0].startswith(f"{row.name} is ")
        assert row.limit in verdict.reasons[0]


def test_the_tolerances_are_parameters():
    dearer = measured(20.0, "a", kid=0.02, recall=0.5, memorisation_ratio=0.7)
    wide = {"kid_tolerance": 1.0, "recall_tolerance": 0.2, "memorisation_tolerance": 0.3}
    assert gate.decide(dearer, measured(30.0, "b"), **LIMITS, **wide).verdict == "better"
    narrow = gate.decide(dearer, measured(30.0, "b"), **LIMITS)
    assert [row.name for row in narrow.rows if row.ok is False] == ["KID", "recall", "memorisation ratio"]


def test_a_loss_in_another_score_is_no_news_about_a_worse_model():
    assert gate.decide(measured(40.0, "a", recall=0.1), measured(30.0, "b"), **LIMITS).verdict == "worse"


@pytest.mark.parametrize("key", ["kid", "recall", "memorisation_ratio"])
def test_a_score_that_only_one_of_them_has_is_no_comparison(key):
    verdict = gate.decide(measured(20.0, "a", **{key: float("nan")}), measured(30.0, "b"), **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("refused", False)
    assert "only one of candidate and champion" in verdict.reasons[0]


def test_a_block_that_is_no_number_is_no_comparison():
    broken = measured(20.0, "a", blocks={"values": {"fid": [20.0] * 7 + [float("inf")]}})
    assert gate.decide(broken, measured(30.0, "b"), **LIMITS).verdict == "refused"


def test_a_champion_that_cannot_be_scored_stays_with_the_reason():
    verdict = gate.decide(measured(10.0, "a"), {"refused": "resolution 8 against 28"}, **LIMITS)
    assert (verdict.verdict, verdict.promote) == ("refused", False)
    assert "resolution 8 against 28" in verdict.reasons[0]


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


@pytest.mark.parametrize(("key", "value"), [("precision", "bf16"), ("compile", True)])
def test_other_precision_or_compilation_is_no_comparison_and_an_older_record_had_neither(key, value):
    candidate, older = measured(10.0, "a"), measured(30.0, "b")
    candidate["conditions"] |= {"precision": "fp32", "compile": False}
    assert gate.decide(candidate, older, **LIMITS).verdict == "better"
    candidate["conditions"][key] = value
    assert gate.decide(candidate, older, **LIMITS).verdict == "refused"


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
    assert [(row.name, row.limit) for row in verdict.rows[1:4]] == [
        ("KID", "at most 0.011"), ("recall", "at least 0.65"), ("memorisation ratio", "at least 0.93"),
    ]  # fmt: skip
    kept = json.loads(json.dumps(verdict.as_json(), allow_nan=False))
    assert (kept["comparison"]["pairs"], kept["comparison"]["confidence"]) == (8, 0.95)


def test_deciding_changes_nothing():
    candidate, champion = measured(29.0, "a"), measured(30.0, "b")
    before = copy.deepcopy((candidate, champion))
    gate.decide(candidate, champion, **LIMITS)
    assert (candidate, champion) == before


def test_a_version_that_was_rolled_back_is_not_promoted_by_its_scores():
    verdict = gate.decide(measured(10.0, "a"), measured(30.0, "b"), **LIMITS, withdrawn="sevens upside down")
    assert (verdict.verdict, verdict.promote) == ("withdrawn", False)
    assert "sevens upside down" in verdict.reasons[0]
