"""Nested keys and numbers of documents."""

import math
from typing import Any

import pytest

from ddpm.common.values import flatten, is_number

NESTED = {"a": {"b": {"c": 1}, "d": [1, 2], "empty": {}}, "e": None}


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (None, {"a.b.c": 1, "a.d": [1, 2], "e": None}),
        (1, NESTED),
        (2, {"a.b": {"c": 1}, "a.d": [1, 2], "a.empty": {}, "e": None}),
        (3, {"a.b.c": 1, "a.d": [1, 2], "e": None}),
    ],
)
def test_nested_keys_are_joined_to_a_depth(depth: int | None, expected: dict[str, Any]) -> None:
    assert dict(flatten(NESTED, depth)) == expected


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, True), (0.5, True), (True, False), (math.nan, False), (-math.inf, False), ("1", False), (None, False)],
)
def test_what_a_number_is(value: object, number: bool) -> None:
    assert is_number(value) == number
