"""Limits of the gate relative to real images, with the default parameters."""

import pytest

from ddpm.config.sections.pipeline import RELATIVE_LIMITS
from ddpm.evaluation import gate
from tests.support.evaluations import LIMITS, measured

REAL = {  # of 2,000 samples and a reference of 4,000, whose halves are at 1.0: equal counts would be at 0.75
    "floors": {"fid": {"halves": 1.0}, "recall": {"halves": 0.8}, "class_accuracy": {"heldout": 0.95}},
    "floor_counts": {"halves": 2000},
    "extractor_accuracy": 0.99,
    "class_histogram": {str(digit): 0.1 for digit in range(10)},
}


DECENT = {"fid": 3.0, "recall": 0.7, "class_accuracy": 0.93, "memorisation_ratio": 1.1}


NOTHING = {"fid": 30.0, "recall": 0.0, "class_accuracy": 0.1, "memorisation_ratio": 2.0}


COPY = {"fid": 0.0, "recall": 1.0, "class_accuracy": 0.99, "memorisation_ratio": 0.0}


def beside_real(weights="a", **scores):
    found = measured(scores["fid"], weights, **REAL, **{k: v for k, v in scores.items() if k != "fid"})
    found["conditions"] |= {"reference_count": 4000, "feature_dimension": 128}
    return found


def test_a_first_model_that_learnt_nothing_is_not_promoted_by_the_default_limits():
    verdict = gate.decide(beside_real(**NOTHING), None, **RELATIVE_LIMITS)
    assert (verdict.verdict, verdict.promote) == ("outside limits", False)
    assert verdict.reasons == (
        "FID ratio to real images is 40.0; the limit is at most 20",
        "class accuracy is 10.0%; the limit is at least 52.5%",
        "recall is 0; the limit is at least 0.08",
    )


def test_a_decent_first_model_is_promoted_by_the_default_limits():
    verdict = gate.decide(beside_real(**DECENT), None, **RELATIVE_LIMITS)
    assert (verdict.verdict, verdict.reasons) == ("first", ("it is within the limits and there is no champion yet",))
    ratio = next(row for row in verdict.rows if row.name == "FID ratio to real images")
    assert (ratio.candidate, ratio.floor, ratio.limit, ratio.ok) == (pytest.approx(4.0), 1.0, "at most 20", True)


def test_a_model_that_repeats_its_training_images_is_not_promoted_by_the_default_limits():
    verdict = gate.decide(beside_real(**COPY), None, **RELATIVE_LIMITS)
    assert verdict.verdict == "outside limits"
    assert verdict.reasons == ("memorisation ratio is 0; the limit is at least 0.5",)


@pytest.mark.parametrize(
    ("scores", "passes"),
    [
        ({"fid": 14.9}, True),
        ({"fid": 15.1}, False),
        ({"recall": 0.08}, True),
        ({"recall": 0.079}, False),
        ({"class_accuracy": 0.525}, True),
        ({"class_accuracy": 0.52}, False),
        ({"memorisation_ratio": 0.5}, True),
        ({"memorisation_ratio": 0.49}, False),
    ],
)
def test_limits_are_relative_to_real_images_of_equal_counts(scores, passes):
    assert gate.decide(beside_real(**DECENT | scores), None, **RELATIVE_LIMITS).promote == passes


def test_a_champion_is_not_replaced_by_a_better_model_that_is_still_outside_a_limit():
    champion = beside_real("b", **DECENT | {"fid": 30.0, "recall": 0.05})
    verdict = gate.decide(beside_real(**DECENT | {"recall": 0.06}), champion, **RELATIVE_LIMITS)
    assert (verdict.verdict, verdict.reasons) == ("outside limits", ("recall is 0.0600; the limit is at least 0.08",))
    assert [row.name for row in verdict.rows if row.ok is False] == ["recall"]


def test_limits_on_classes_and_memorisation_apply_where_there_is_such_a_score():
    """Unlabelled images, and an extractor of other classes, have no class accuracy; all else is asked of them."""
    found = beside_real(**DECENT)
    for key in ("class_accuracy", "class_histogram", "memorisation_ratio"):
        del found[key]
    assert gate.decide(found, None, **RELATIVE_LIMITS).promote
    found |= {"recall": 0.0}
    assert gate.decide(found, None, **RELATIVE_LIMITS).verdict == "outside limits"


def test_without_the_scores_of_real_images_their_limits_refuse():
    bare = measured(3.0, "a", class_accuracy=0.9)
    verdict = gate.decide(bare, None, **RELATIVE_LIMITS)
    assert (verdict.verdict, len(verdict.reasons)) == ("refused", 3)
    assert all("has a limit" in reason and "inf" not in reason for reason in verdict.reasons)


def test_an_infinite_accuracy_is_refused():
    assert gate.decide(beside_real(**DECENT | {"class_accuracy": float("nan")}), None, **RELATIVE_LIMITS).verdict == (
        "refused"
    )


def test_that_no_limits_are_set_is_said_of_every_promotion():
    first = gate.decide(beside_real(**NOTHING), None)
    assert (first.verdict, first.reasons) == ("first", ("there is no champion yet", gate.NO_LIMITS))
    better = gate.decide(measured(20.0, "a"), measured(30.0, "b"))
    assert (better.verdict, better.reasons[1:]) == ("better", (gate.NO_LIMITS,))
    assert gate.NO_LIMITS not in gate.decide(measured(20.0, "a"), measured(30.0, "b"), **LIMITS).reasons
