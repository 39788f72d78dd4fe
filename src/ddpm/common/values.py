"""Nested keys and numbers of JSON and YAML documents."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard


def flatten(value: Mapping[str, Any], depth: int | None = None) -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values: `{"train": {"lr": 0.1}}` gives `("train.lr", 0.1)`. Empty mappings give nothing.

    depth: number of levels to join; deeper mappings stay values. None: all.
    """
    for key, item in value.items():
        if isinstance(item, Mapping) and depth != 1:
            yield from ((f"{key}.{name}", leaf) for name, leaf in flatten(item, depth and depth - 1))
        else:
            yield key, item


def is_number(value: object) -> TypeGuard[int | float]:
    """Return True if a value is a finite number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
