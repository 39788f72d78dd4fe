"""The spread between training seeds against closed forms, the gate and a simulation."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ddpm.evaluation import gate, seed_spread

LIMITS: dict[str, Any] = {"min_improvement": 0.1, "confidence": 0.95}


def measured(number: int, fid: float, **more: Any) -> dict[str, Any]:
    """An evaluation with ten blocks of seeds around the FID."""
    blocks = [fid + 0.01 * (index % 3) for index in range(10)]
    conditions = {"count": 500, "weights_sha256": str(number)}
    return {"fid": fid, "recall": 0.5, "blocks": {"values": {"fid": blocks}}, "conditions": conditions} | more


def test_a_spread_is_that_of_student() -> None:
    found = seed_spread.spread([1.0, 2.0, 3.0, 6.0])
    assert (found.count, found.mean, found.low, found.high) == (4, 3.0, 1.0, 6.0)
    assert found.std == pytest.approx(math.sqrt(14 / 3))
    low, high = stats.t.interval(0.95, 3, loc=3, scale=stats.sem([1, 2, 3, 6]))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert seed_spread.spread([2.0]).half == 0


def test_the_share_of_pairs_is_that_of_the_gate() -> None:
    fids = [1.0, 1.05, 1.2, 1.5]
    found = seed_spread.study([measured(number, fid) for number, fid in enumerate(fids)], LIMITS)
    by_hand = sum(1 - ours / theirs >= 0.1 for ours in fids for theirs in fids)
    assert found.pairs == 12
    assert found.promoted == pytest.approx(by_hand / 12)
    assert found.scores["fid"].mean == pytest.approx(np.mean(fids))
    assert set(found.scores) == {"fid", "recall"}


def test_a_seed_that_gives_the_same_weights_is_no_pair() -> None:
    found = seed_spread.study([measured(0, 1.0), measured(0, 1.0), measured(1, 2.0)], LIMITS)
    assert (found.pairs, found.promoted) == (4, 0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        seed_spread.study([measured(0, 1.0)], LIMITS)
    other = measured(1, 1.0, conditions={"count": 100, "weights_sha256": "1"})
    with pytest.raises(ValueError, match="differ in count"):
        seed_spread.study([measured(0, 1.0), other], LIMITS)
    with pytest.raises(ValueError, match="no FID"):
        seed_spread.study([measured(0, 1.0), measured(1, 1.0) | {"fid": None}], LIMITS)


@pytest.mark.parametrize(("seeds", "deviation"), [(3, 0.03), (8, 0.12)])
def test_the_proposal_lets_one_pair_in_twenty_pass_at_most(seeds: int, deviation: float) -> None:
    """Over many studies, with FIDs that are log-normal, as the pairs of bench/gate.py are."""
    random = np.random.default_rng(0)
    passed = []
    for _ in range(2000):
        known = deviation * random.normal(size=seeds)
        asked = seed_spread.proposal(float(known.std(ddof=1)), seeds)
        assert asked is not None
        pair = deviation * random.normal(size=(20, 2))
        passed.append(np.mean(-np.expm1(pair[:, 0] - pair[:, 1]) > asked))
    assert 0.02 < np.mean(passed) <= 0.052


def test_no_proposal_rests_on_two_seeds() -> None:
    assert seed_spread.proposal(0.1, 2) is None
    assert seed_spread.proposal(math.inf, 8) is None
    assert seed_spread.proposal(0.0, 8) == 0
    assert seed_spread.proposal(0.12, 16) == pytest.approx(0.26)


def test_the_gate_s_identity_is_what_may_differ() -> None:
    assert gate.IDENTITY == ("weights_sha256",)
