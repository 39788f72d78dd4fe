"""The order of class names, and which class a name or a number means."""

import random

import pytest

from ddpm.common.class_names import class_index, in_order, listed

DIGITS = [str(number) for number in range(10)]


@pytest.mark.parametrize(
    "names",
    [
        DIGITS,
        [str(number) for number in range(12)],
        ["1", "2", "10", "100"],
        ["01", "2", "010", "11"],
        ["-10", "-1", "0", "0.5", "1.5", "10.25"],
        ["01", "1", "2"],
        ["9", "10", "9a", "cat", "dog"],
        ["Zebra", "ant", "ähre", "中"],
        ["9" * 5000 + str(number) for number in range(12)],
        ["²", "٣", "１"],
    ],
)
def test_numbers_sort_as_numbers_and_other_names_as_text(names: list[str]) -> None:
    if names[0] == "²":  # digits of other alphabets are text
        names = sorted(names)
    shuffled = [*names, *names]
    random.Random(3).shuffle(shuffled)
    assert in_order(shuffled) == tuple(names)


@pytest.mark.parametrize(
    ("asked", "classes", "index"),
    [
        ("cat", ["ant", "cat"], 1),
        (1, ["ant", "cat"], 1),
        ("1", ["ant", "cat"], 1),
        ("01", ["ant", "cat"], 1),
        *((number, DIGITS, number) for number in range(10)),
        (2, ["1", "2", "3"], 1),
        ("2", ["1", "2", "3"], 1),
        (2, ["0", "1", "10", "11", "2"], 4),  # a model from before numbers were sorted as numbers
        (7, ["005", "007"], 1),
        ("7.0", ["5", "7"], 1),
        ("1", ["01", "1"], 1),
        (-1, ["-1", "0", "1"], 0),
        ("2", ["cat", "2"], 1),
        ("Mu\u0308cke", ["Ameise", "M\u00fccke"], 1),
        ("0", ["a", "a"], 0),
    ],
)
def test_a_class_is_asked_for_by_name_or_else_by_index(asked: str | int, classes: list[str], index: int) -> None:
    assert class_index(asked, classes) == index


@pytest.mark.parametrize(
    ("asked", "classes", "said"),
    [
        ("cta", ["cat", "dog"], r"label cta does not exist; this model has cat, dog; nearest: cat$"),
        ("CAT", ["cat", "dog"], "nearest: cat"),
        (2, ["cat", "dog"], r"label 2 does not exist; this model has 0 \(cat\), 1 \(dog\)$"),
        (-1, ["cat", "dog"], "label -1 does not exist"),
        ("1.5", ["cat", "dog"], "label 1.5 does not exist"),
        (0, ["1", "2", "3"], "label 0 does not exist; this model has 1, 2, 3"),
        (1, ["cat", "dog", "2"], "label 1 does not exist; this model has cat, dog, 2"),
        ("001", ["1", "01"], r"label 001 fits several classes: 0 \(1\), 1 \(01\); give its exact name"),
        ("a", ["a", "a"], "fits several classes"),
        ("", ["a", "b"], "does not exist"),
        ("0", [], "without labels"),
        ("kind 99x", [f"kind {number}" for number in range(100)], "and 80 more; nearest: kind 99"),
        ("\x1b[2J", ["\x1b[31m", "b"], r"^label \\x1b\[2J does not exist; this model has \\x1b\[31m, b"),
        ("x" * 10**6, ["a"], "does not exist"),
    ],
)
def test_what_is_not_a_class_is_refused_with_the_nearest_names(asked: str | int, classes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        class_index(asked, classes)
    assert len(str(raised.value)) < 2000


def test_very_many_classes_are_not_all_listed() -> None:
    assert listed([str(number) for number in range(1000)], indices=False).endswith("18, 19 and 980 more")
