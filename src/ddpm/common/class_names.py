"""Class names: their order, and the class that a name or an index means. The same for every way to ask a model."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
SHOWN, NEAREST, LONGEST = 20, 3, 1000


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names, sorted: first those that are numbers, as numbers (2 before 10), then the others as text."""

    def key(name: str) -> tuple[bool, Decimal, str]:
        value = number(name)
        return value is None, Decimal(0) if value is None else value, name

    return tuple(sorted(set(names), key=key))


def number(name: str) -> Decimal | None:
    """The number that a name is, such as 7, 007, -1 or 0.5; None for any other name."""
    return Decimal(name) if NUMBER.fullmatch(name) else None


def class_index(asked: str | int, classes: Sequence[str], *, besides: str = "") -> int:
    """Find the index of a class by its name, or by its index if no class name is a number.

    A number is a name wherever some class is named by a number, so that 2 never means the third class of 1, 2, 3.
    besides: what the caller takes besides a class, for the message. Raises ValueError for a class that does not exist,
    or a name that fits several.
    """
    text = str(asked)[:LONGEST]
    if not classes:
        raise ValueError(f"label {_plain(text)}: this model was trained without labels: leave out the label")
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
    """`0 (cats), 1 (dogs)` or `cats, dogs`; not all of very many."""
    names = [_plain(name) for name in classes[:SHOWN]]
    shown = [f"{index} ({name})" if indices else name for index, name in enumerate(names)]
    more = f" and {len(classes) - SHOWN:,} more" if len(classes) > SHOWN else ""
    return ", ".join(shown) + more


def _plain(name: str) -> str:
    """A name without characters that a terminal would obey."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _normal(name: str) -> str:
    """One spelling for what looks the same: a Mac writes umlauts as two characters."""
    return unicodedata.normalize("NFC", name)


def _nearest(text: str, classes: Sequence[str]) -> str:
    """`; nearest: cats, rats` for a name that resembles some."""
    folded = {_normal(name).casefold(): name for name in classes}
    near = difflib.get_close_matches(_normal(text).casefold(), list(folded), NEAREST)
    return f"; nearest: {', '.join(_plain(folded[name]) for name in near)}" if near else ""
