"""Print untrusted text safely: a line stays one line, without control sequences and secrets.

All output of the command line and the stages goes through this module; `rich` gets the result of `field` as a
`rich.text.Text`, in which markup has no effect.
"""

import json
import sys
from typing import Any, TextIO

from ddpm.common import redact
from ddpm.common.redact import redact_text

LONGEST = 4000
"""Characters of a line; the rest is cut off."""
MOST_LINES = 400
INDENT = "  "


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of text in which line breaks, escape sequences, bidi controls and lone surrogates are spelled out."""
    line = str(text)
    if len(line) > longest:
        line = f"{line[:longest]}... ({len(line):,} characters)"
    if line.isprintable():
        return line
    return "".join(each if _harmless(each) else each.encode("unicode_escape").decode() for each in line)


def field(value: object, longest: int = LONGEST) -> str:
    """A value as a line like that of `plain`, without secrets: a table cell, or a line of a listing."""
    return plain(redact_text(str(value)), longest)


def message(text: object) -> str:
    """Text of several lines, each like `field`; all but the first are indented, so that none passes for a new one."""
    first, *others = redact_text(str(text)).replace("\r\n", "\n").replace("\t", "    ").split("\n")
    if len(others) >= MOST_LINES:
        others = [*others[: MOST_LINES - 1], f"... and {len(others) - MOST_LINES + 1:,} more lines"]
    indented = [each if not each.strip() or each.startswith(" ") else INDENT + each for each in others]
    return "\n".join(map(plain, [first, *indented]))


def echo(*lines: object, file: TextIO | None = None) -> None:
    """Print lines; a line break within a line is spelled out."""
    _write("\n".join(map(field, lines)), file or sys.stdout)


def reveal(line: str) -> None:
    """Print one line without redaction, for example a sign-in link meant for the reader."""
    _write(plain(line), sys.stdout)


def error(text: object, label: str = "error: ") -> None:
    """Print a message of several lines to standard error."""
    _write(label + message(text), sys.stderr)


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print a JSON value in ASCII, without secrets."""
    _write(json.dumps(redact.redact_json(value), indent=indent), sys.stdout)


def _harmless(character: str) -> bool:
    """Return True if a character is printable or a blank, not a control character."""
    return character.isprintable() or (
        character.isspace() and character not in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"
    )


def _write(text: str, file: TextIO) -> None:
    """Print; characters that the file's encoding lacks are spelled out too."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)
