"""Formats of scores beside their limits."""

import pytest

from ddpm.evaluation import score_text


@pytest.mark.parametrize(
    ("name", "value", "limit", "shown"),
    [
        ("FID ratio to real images", 20.006, "at most 20", "20.01"),
        ("FID ratio to real images", 25.0, "at most 20", "25.0"),
        ("class accuracy", 0.54399, "at least 54.4%", "54.399%"),
        ("recall", 0.0, "at least 0.086", "0"),
        ("recall", None, "at least 0.1 of real images'", ""),
    ],
)
def test_a_failing_score_never_looks_equal_to_its_limit(name: str, value: float | None, limit: str, shown: str) -> None:
    assert score_text.failing(name, value, limit) == shown
