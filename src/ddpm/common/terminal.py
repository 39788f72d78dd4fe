"""Other people's text on a terminal: a line stays one line, nothing in it steers the terminal, no secret is shown.

Everything that the command line and the stages print goes through here; `rich` gets what `field` returns as a
`rich.text.Text`, which has no markup.
"""

import json
import sys
from typing import Any, TextIO

from ddpm.common import redact
from ddpm.common.redact import shown

LONGEST = 4000
"""Characters of a line."""
MOST_LINES = 400
INDENT = "  "


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of text in which line breaks, escape sequences, bidi controls and half characters are spelled out."""
    line = str(text)
    if len(line) > longest:
        line = f"{line[:longest]}... ({len(line):,} characters)"
    if line.isprintable():
        return line
    return "".join(each if _harmless(each) else each.encode("unicode_escape").decode() for each in line)


def field(value: object, longest: int = LONGEST) -> str:
    """Spell out a value as `plain` does, without secrets: one table cell, or one line of a listing."""
    return plain(shown(str(value)), longest)


def message(text: object) -> str:
    """Text of several lines: each as `field`; those after the first are indented, so that none passes for another."""
    first, *others = shown(str(text)).replace("\r\n", "\n").replace("\t", "    ").split("\n")
    if len(others) >= MOST_LINES:
        others = [*others[: MOST_LINES - 1], f"... and {len(others) - MOST_LINES + 1:,} more lines"]
    indented = [each if not each.strip() or each.startswith(" ") else INDENT + each for each in others]
    return "\n".join(map(plain, [first, *indented]))


def echo(*lines: object, file: TextIO | None = None) -> None:
    """Print lines; a line break inside of one is spelled out."""
    _write("\n".join(map(field, lines)), file or sys.stdout)


def reveal(line: str) -> None:
    """Print one line whose secret the reader is to have, such as a link that signs in."""
    _write(plain(line), sys.stdout)


def error(text: object, label: str = "error: ") -> None:
    """Print a message of several lines to standard error."""
    _write(label + message(text), sys.stderr)


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print a JSON value, in ASCII."""
    _write(json.dumps(redact.each(value), indent=indent), sys.stdout)


def _harmless(character: str) -> bool:
    """Whether a character is visible or a blank; control characters are neither."""
    return character.isprintable() or (
        character.isspace() and character not in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"
    )


def _write(text: str, file: TextIO) -> None:
    """Print; characters that the terminal's encoding does not have are spelled out too."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)
