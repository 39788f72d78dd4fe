"""The comparison of two models keeps its promises: coverage of the interval, and false alarms of the test."""

import numpy as np
import pytest

from ddpm.metrics.paired_test import compare


def test_interval_covers_and_test_errs_as_often_as_they_say():
    random = np.random.default_rng(0)
    found = [compare(random.normal(0.3, 1, 8), random.normal(0, 1, 8), confidence=0.9) for _ in range(200)]
    assert 0.83 < np.mean([each.low <= 0.3 <= each.high for each in found]) < 0.97
    equal = [compare(random.normal(size=8), random.normal(size=8)) for _ in range(200)]
    assert 0.01 < np.mean([each.p_value <= 0.05 for each in equal]) < 0.1
    assert all(each.valid for each in found)


def test_pairs_take_out_what_both_models_share():
    random = np.random.default_rng(1)
    shared = random.normal(0, 10, 20)
    found = compare(shared + 0.5 + random.normal(0, 0.1, 20), shared)
    assert found.low > 0.4
    assert found.p_value < 0.001
    assert "9,999 random" in found.validity


def test_too_few_pairs_are_said_to_prove_nothing():
    found = compare([1.0, 2.0, 3.0, 4.0], [0.0, 1.1, 1.9, 3.0])
    assert not found.valid
    assert "4 pairs are too few" in found.validity
    assert found.p_value == pytest.approx(2 / 2**4)
    with pytest.raises(ValueError, match="equal length, at least 2"):
        compare([1.0], [2.0])
    with pytest.raises(ValueError, match="NaN"):
        compare([1.0, np.nan], [2.0, 3.0])
