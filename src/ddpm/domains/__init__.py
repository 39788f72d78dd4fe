"""Domains: the kinds of examples that a model can generate, each one row of a table."""

from collections.abc import Callable

from ddpm.domains import images, series
from ddpm.domains.domain import Domain, Scale

IMAGES, SERIES = "images", "series"
DOMAINS: dict[str, Callable[[int, int, Scale], Domain]] = {IMAGES: images.domain, SERIES: series.domain}
"""By kind: a function of the number of positions along each axis, the number of channels, and their scale."""

__all__ = ["DOMAINS", "IMAGES", "SERIES", "Domain", "Scale"]
