"""The precision with which scores are kept."""

DIGITS = 6
"""Significant digits kept of a score; further ones differ between machines."""


def significant(value: float) -> float:
    """Round to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")
