"""Read YAML in bounded time and memory, with errors that name the file; write it with its comments."""

import re
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
)

LARGEST_BYTES = 2**19
DEEPEST = 32
MOST_VALUES = 20_000  # with every alias written out
LONGEST_NUMBER = 400  # digits; a double has 309 at most
MANY_OPENED = re.compile(r"(?:[\[{]\s*){64}")
SHOWN = 80  # characters of a value in a message


class ParamsError(ValueError):
    """Invalid parameters; the message has their names, the reason and the allowed values."""


def read(path: Path) -> Any:
    """The plain values of a YAML 1.2 file. Raises ParamsError or FileNotFoundError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse(decode(content, str(path)), str(path))


def decode(content: bytes, source: str) -> str:
    """Decode UTF-8. Raises ParamsError for other encodings, and for more than LARGEST_BYTES."""
    if len(content) > LARGEST_BYTES:
        raise ParamsError(f"{source} has {len(content):,} bytes; at most {LARGEST_BYTES:,} are read.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")) or b"\0" in content:
        raise ParamsError(f"{source} is UTF-16, or begins with a byte order mark; save it as plain UTF-8.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(
            f"{source} is not UTF-8 text: line {line} has the byte 0x{content[error.start]:02x}. Save it as UTF-8."
        ) from error


def parse(text: str, source: str) -> Any:
    """The plain values of a YAML 1.2 document. Raises ParamsError."""
    try:
        _check(text)
        with warnings.catch_warnings(action="ignore"):  # ruamel warns of an anchor defined twice, which is allowed
            value = YAML(typ="safe", pure=True).load(text)
        _check_keys(value)
    except ParamsError as error:
        raise ParamsError(f"{source} is not valid YAML: {error}") from error
    except (YAMLError, ValueError, ArithmeticError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ParamsError(f"{source} is not valid YAML: {_describe(error)}") from error
    return value


def writer() -> YAML:
    """A round-trip reader and writer that keeps comments, quotes and layout, and constructs no tagged objects.

    New values are written in ruamel's own form (nothing for null, single quotes, an item per line), as by
    `dvc exp run -S`: otherwise each of the two would rewrite what the other wrote.
    """
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def short_repr(value: Any) -> str:
    """The repr of a value, shortened, for a message."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return "a number of more than 80 digits"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _check(text: str) -> None:
    """Reject documents that would take too much time or memory, before they are constructed. Raises ParamsError."""
    if opened := MANY_OPENED.search(text):  # checked first, because the scanner would take seconds
        raise ParamsError(f"line {text.count(chr(10), 0, opened.start()) + 1} is nested more than {DEEPEST} deep.")
    open_at: list[tuple[str | None, int]] = []  # anchor, and number of values when the collection began
    sizes: dict[str, int] = {}
    values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, DocumentStartEvent):
            sizes, open_at = {}, []
        elif isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_at):
                raise ParamsError(f"*{event.anchor} in {_line(event)} refers to a value that contains it.")
            values += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_at.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, NodeEvent):
            values += 1
            _check_node(event)
            if isinstance(event, CollectionStartEvent):
                open_at.append((event.anchor, values - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_at) > DEEPEST:
            raise ParamsError(f"{_line(event)} is nested more than {DEEPEST} deep.")
        if values > MOST_VALUES:
            raise ParamsError(f"it expands to more than {MOST_VALUES:,} values.")


def _check_node(event: Any) -> None:
    """Reject numbers that are too long, or that programs read differently. Raises ParamsError."""
    if not isinstance(event, ScalarEvent) or event.style is not None or event.tag is not None:
        return
    digits = event.value.lstrip("+-").replace("_", "")
    if not digits[:1].isdigit():
        return
    if len(digits) > LONGEST_NUMBER:
        raise ParamsError(f"{_line(event)} has a number of more than {LONGEST_NUMBER} digits.")
    if len(digits) > 1 and digits[0] == "0" and digits.isdecimal():
        raise ParamsError(
            f"{_line(event)} has the number {short_repr(event.value)[1:-1]}, which some programs read as octal; "
            "write it without leading zeros, or in quotes if it is text."
        )


def _check_keys(value: Any) -> None:
    """Reject keys that are not text. Raises ParamsError."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ParamsError(f"the key {short_repr(key)} is not text; put it in quotes.")
            _check_keys(item)
    elif isinstance(value, list):
        for item in value:
            _check_keys(item)


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _describe(error: Exception) -> str:
    """The error as one sentence, with line and column if they are known."""
    if not isinstance(error, MarkedYAMLError):
        return f"{short_repr(str(error).splitlines()[0])[1:-1] if str(error) else type(error).__name__}."
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{' '.join(str(error.problem or error.context).split())[:200]}."
