"""Class names: their order, and the class that a name or an index denotes, for all interfaces of a model."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
SHOWN, NEAREST, LONGEST = 20, 3, 1000


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names, sorted: numbers first, by value (2 before 10), then all others as text."""

    def key(name: str) -> tuple[bool, Decimal, str]:
        value = number(name)
        return value is None, Decimal(0) if value is None else value, name

    return tuple(sorted(set(names), key=key))


def number(name: str) -> Decimal | None:
    """The value of a name that is a number, such as 7, 007, -1 or 0.5; None for any other name."""
    return Decimal(name) if NUMBER.fullmatch(name) else None


def class_index(asked: str | int, classes: Sequence[str], *, besides: str = "") -> int:
    """The index of a class, given by name, or by index if no class name is a number.

    If any class name is a number, a number is always a name, so 2 never denotes the third class of 1, 2, 3. besides:
    the alternatives to a class that the caller accepts, for the message. Raises ValueError for a class that does not
    exist, or a name that matches several.
    """
    text = str(asked)[:LONGEST]
    if not classes:
        raise ValueError(f"label {_plain(text)}: this model was trained without labels: omit the label")
    value = number(text)
    found = (
        [index for index, name in enumerate(classes) if name == text]
        or [index for index, name in enumerate(classes) if value is not None and number(name) == value]
        or [index for index, name in enumerate(classes) if _normal(name) == _normal(text)]
    )
    if len(found) > 1:
        fitting = ", ".join(f"{index} ({_plain(classes[index])})" for index in found)
        raise ValueError(f"label {_plain(text)} fits several classes: {fitting}; give its exact name")
    if found:
        return found[0]
    indices = () if any(number(name) is not None for name in classes) else range(len(classes))
    if value is not None and value in indices:
        return int(value)
    there = listed(classes, indices=value is not None and bool(indices)) + (f", and {besides}" if besides else "")
    raise ValueError(f"label {_plain(text)} does not exist; this model has {there}{_nearest(text, classes)}")


def listed(classes: Sequence[str], *, indices: bool = True) -> str:
    """A list of the classes, SHOWN at most: `0 (cats), 1 (dogs)`, or `cats, dogs` without indices."""
    names = [_plain(name) for name in classes[:SHOWN]]
    shown = [f"{index} ({name})" if indices else name for index, name in enumerate(names)]
    more = f" and {len(classes) - SHOWN:,} more" if len(classes) > SHOWN else ""
    return ", ".join(shown) + more


def _plain(name: str) -> str:
    """A name with its unprintable characters, such as terminal escapes, spelled out."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _normal(name: str) -> str:
    """The name in Unicode normal form C: macOS, for example, writes umlauts as two characters."""
    return unicodedata.normalize("NFC", name)


def _nearest(text: str, classes: Sequence[str]) -> str:
    """`; nearest: cats, rats` for a name that resembles some classes, else an empty text."""
    folded = {_normal(name).casefold(): name for name in classes}
    near = difflib.get_close_matches(_normal(text).casefold(), list(folded), NEAREST)
    return f"; nearest: {', '.join(_plain(folded[name]) for name in near)}" if near else ""
