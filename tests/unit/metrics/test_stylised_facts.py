"""Stylised facts of series whose facts are known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ddpm.metrics import stylised_facts
from ddpm.metrics.floors import shuffled

COUNT, LENGTH = 4000, 64
PHI = 0.6


def autoregressive(phi: float, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    values = np.empty((COUNT, LENGTH, 1))
    values[:, 0] = random.standard_normal((COUNT, 1))
    for row in range(1, LENGTH):
        values[:, row] = phi * values[:, row - 1] + np.sqrt(1 - phi**2) * random.standard_normal((COUNT, 1))
    return values


def test_an_autoregression_remembers_geometrically() -> None:
    """Of a Gaussian AR(1), acf(k) = phi^k, and of magnitudes (Isserlis), with r = phi^k, the closed form below."""
    windows = autoregressive(PHI)
    found = stylised_facts.autocorrelation(windows, 5, magnitudes=False)
    np.testing.assert_allclose(found, PHI ** np.arange(1, 6), atol=0.01)
    r = PHI ** np.arange(1, 6)
    expected = (2 / np.pi * (np.sqrt(1 - r**2) + r * np.arcsin(r)) - 2 / np.pi) / (1 - 2 / np.pi)
    np.testing.assert_allclose(stylised_facts.autocorrelation(windows, 5, magnitudes=True), expected, atol=0.01)
    facts = stylised_facts.facts(windows, "none")
    assert facts["acf_1"] == pytest.approx(PHI, abs=0.01)
    assert facts["abs_acf_5"] == pytest.approx(expected[4], abs=0.01)
    assert "drawdown" not in facts
    assert "cross_correlation" not in facts


@pytest.mark.parametrize(
    ("draw", "kurtosis", "risk", "shortfall"),
    [
        (lambda random, shape: random.standard_normal(shape), 0.0, stats.norm.ppf(0.01),
         -stats.norm.pdf(stats.norm.ppf(0.01)) / 0.01),
        (lambda random, shape: random.uniform(-1, 1, shape), -1.2, -0.98, -0.99),
        (lambda random, shape: random.laplace(size=shape), 3.0, np.log(0.02), np.log(0.02) - 1),
    ],
)  # fmt: skip
def test_tails_of_known_distributions(draw, kurtosis: float, risk: float, shortfall: float) -> None:
    facts = stylised_facts.facts(draw(np.random.default_rng(0), (COUNT, LENGTH, 1)), "log-returns")
    assert facts["kurtosis"] == pytest.approx(kurtosis, abs=0.15)
    assert facts["value_at_risk"] == pytest.approx(risk, rel=0.02)
    assert facts["expected_shortfall"] == pytest.approx(shortfall, rel=0.02)
    for fact in ("acf_1", "acf_5", "acf_20", "abs_acf_1", "abs_acf_20", "leverage"):
        assert abs(facts[fact]) < 0.01


def test_leverage_is_negative_where_losses_are_followed_by_large_changes() -> None:
    random = np.random.default_rng(0)
    shocks = random.standard_normal((COUNT, LENGTH, 1))
    values = shocks.copy()
    values[:, 1:] *= np.where(shocks[:, :-1] < 0, 2.0, 1.0)
    assert stylised_facts.facts(values, "none")["leverage"] < -0.1


def test_correlation_of_columns() -> None:
    random = np.random.default_rng(0)
    common, own = random.standard_normal((COUNT, LENGTH, 1)), random.standard_normal((COUNT, LENGTH, 3))
    facts = stylised_facts.facts(np.sqrt(0.3) * common + np.sqrt(0.7) * own, "none")
    assert facts["cross_correlation"] == pytest.approx(0.3, abs=0.01)


def test_the_largest_fall_of_a_path() -> None:
    window = np.array([[0.0, 1.0, -3.0, 1.0, -0.5], [-1.0, -1.0, 5.0, 0.0, 0.0]])[:, :, None]  # paths: 0 1 -2 -1 -1.5
    assert stylised_facts.facts(window, "differences")["drawdown"] == pytest.approx((3 + 2) / 2)


def test_shuffled_rows_keep_the_tails_and_lose_the_memory() -> None:
    windows = autoregressive(PHI)
    mixed = shuffled(COUNT, windows.astype(np.float32), np.random.default_rng(1))
    found = stylised_facts.compare(windows, windows, autoregressive(PHI, 1), {"shuffled": mixed}, "none")
    assert found["sets"]["shuffled"]["value_at_risk"] == pytest.approx(found["sets"]["real"]["value_at_risk"], rel=0.02)
    assert abs(found["sets"]["shuffled"]["acf_1"]) < 0.01
    assert found["largest_deviation"]["generated"] == 0
    assert found["largest_deviation"]["heldout"] < 5
    assert found["largest_deviation"]["shuffled"] > 50
    assert set(found["deviation"]) == set(found["sets"]["real"])


def test_coverage_of_a_value_at_risk() -> None:
    """Kupiec's example form: of 1,000 values, 20 exceed; LR = -2 ln(L(0.01) / L(0.02)) = 7.827, p = 0.005."""
    values = np.arange(1000.0).reshape(10, 100, 1)
    found = stylised_facts.coverage(values, 19.5)
    likelihood = stats.binom.logpmf(20, 1000, 0.02) - stats.binom.logpmf(20, 1000, 0.01)
    assert (found["rate"], found["count"]) == (0.02, 1000)
    assert found["p_value"] == pytest.approx(stats.chi2.sf(2 * likelihood, 1))
    assert found["p_value"] == pytest.approx(0.00514, abs=1e-4)
    assert stylised_facts.coverage(values, 9.5)["p_value"] == pytest.approx(1)
    assert stylised_facts.coverage(np.concatenate([values, values]), 19.5) == found  # overlaps count once
    assert stylised_facts.coverage(values, -1.0)["p_value"] == pytest.approx(stats.chi2.sf(-2000 * np.log(0.99), 1))
