"""Durations, rates and sizes as people read them: the one place that formats them."""

import math


def duration(seconds: float) -> str:
    """Format seconds: `48s`, `3m 57s`, `2h 05m`."""
    if seconds == math.inf:
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def rate(per_second: float) -> str:
    """Format items per second with three significant digits, never in powers of ten: `5,400/s`, `121/s`, `0.31/s`."""
    if per_second <= 0:
        return "0/s"
    digits = 2 - math.floor(math.log10(per_second))
    rounded = round(per_second, digits)
    return f"{rounded:,.{max(0, min(digits, 6))}f}/s"


def size(count: int) -> str:
    """Format bytes in binary units: `512 bytes`, `18.8 MiB`, `2.0 GiB`."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count} bytes"
