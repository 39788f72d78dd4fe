"""Formats of durations, numbers, rates and sizes for readers."""

import math

ROUNDING = 1e-9
"""Scores nearer to 0 are 0: the difference of equal sets by arithmetic alone."""


def duration(seconds: float) -> str:
    """Format seconds: `0.4s`, `48s`, `3m 57s`, `2h 05m`."""
    if seconds == math.inf:
        return "unknown time"
    if 0.05 <= seconds < 0.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def number(value: float) -> str:
    """Format with three significant digits, never in powers of ten: `5,400`, `12.3`, `0.315`."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, min(digits, 6))}f}"


def count(items: int) -> str:
    """Format a large count in millions, `1.35 million`; a smaller one in full, `64,300`."""
    return f"{number(items / 1e6)} million" if items >= 1e5 else f"{items:,}"


def rate(per_second: float) -> str:
    """Format items per second: `5,400/s`, `121/s`, `0.315/s`."""
    return f"{number(per_second)}/s"


def size(number_of_bytes: int) -> str:
    """Format bytes in binary units: `512 bytes`, `18.8 MiB`, `2.0 GiB`, `1.5 TiB`."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number_of_bytes >= unit:
            return f"{number_of_bytes / unit:,.1f} {name}"
    return f"{number_of_bytes} bytes"


def score_number(value: object, *, digits: int = 3, share: bool = False) -> str:
    """Format a score with significant digits: `2.76`, `0.0206`, `6,447`; as a percentage if `share`: `99.0%`.

    Integers and numbers from 10^digits on are written in full. "" for anything but a number.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    if abs(value) < ROUNDING:
        return "0%" if share else "0"
    shown = float(value)
    if isinstance(value, int) or abs(shown) >= 10**digits:
        return f"{100 * shown:,.0f}%" if share else f"{shown:,.0f}"
    return f"{100 * shown:#.{digits}g}".rstrip(".") + "%" if share else f"{shown:#.{digits}g}".rstrip(".")
