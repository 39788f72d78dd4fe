"""Domains: the kinds of examples that a model can generate, each one row of a table."""

from collections.abc import Callable

from ddpm.domains import images
from ddpm.domains.domain import Domain

IMAGES = "images"
DOMAINS: dict[str, Callable[[int, int], Domain]] = {IMAGES: images.domain}
"""By kind: a function of the number of positions along each axis and the number of channels."""

__all__ = ["DOMAINS", "IMAGES", "Domain"]
