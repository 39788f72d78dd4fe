"""Validate values from a registry, server or repository before they become part of a path."""

import re

from ddpm.common.terminal import field

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
SHOWN = 80


def sha256(value: str, what: str, error: type[ValueError] = ValueError) -> str:
    """The value if it is a SHA-256 in hexadecimal; else raises `error`. what: its description, for the message."""
    return _matching(r"[0-9a-f]{64}", value, what, "a SHA-256 of 64 hexadecimal digits", error)


def dvc_md5(value: str, what: str, error: type[ValueError] = ValueError) -> str:
    """The value if it is DVC's MD5 of a file or a folder (`.dir`); else raises `error`."""
    return _matching(r"[0-9a-f]{32}(\.dir)?", value, what, "an MD5 of 32 hexadecimal digits", error)


def name(value: str, what: str, error: type[ValueError] = ValueError) -> str:
    """The value if it is the plain name of one file or folder; else raises `error`."""
    return _matching(NAME, value, what, "one name of letters, digits, `_`, `.` and `-`", error)


def _matching(pattern: str | re.Pattern[str], value: str, what: str, form: str, error: type[ValueError]) -> str:
    if not re.fullmatch(pattern, str(value)):
        raise error(
            f"{what} is {field(value, SHOWN)!r}, which is not {form}. It may have been tampered with: do not use it."
        )
    return str(value)
