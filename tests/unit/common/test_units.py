"""Durations, rates and sizes on the terminal and on pages."""

import pytest

from ddpm.common import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.02, "0s"),
        (0.4, "0.4s"),
        (0.97, "1s"),
        (48, "48s"),
        (59.6, "1m 00s"),
        (237, "3m 57s"),
        (7500, "2h 05m"),
        (float("inf"), "unknown time"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (5402.3, "5,400/s"),
        (2_260_000, "2,260,000/s"),
        (999.6, "1,000/s"),
        (121.04, "121/s"),
        (12.34, "12.3/s"),
        (1.2345, "1.23/s"),
        (0.3149, "0.315/s"),
        (0.00082, "0.000820/s"),
        (0, "0/s"),
    ],
)
def test_rate_has_three_digits_and_no_power_of_ten(per_second: float, text: str) -> None:
    assert units.rate(per_second) == text


def test_a_number_may_be_negative() -> None:
    assert (units.number(-6453.2), units.number(-0.0123)) == ("-6,450", "-0.0123")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (19_713_229, "18.8 MiB"),
        (2**31, "2.0 GiB"),
        (3 * 2**39, "1.5 TiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert units.size(count) == text
