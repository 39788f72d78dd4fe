"""Errors in data, and formatting of their messages."""

from collections.abc import Sequence

from ddpm.common.terminal import field


class DataError(ValueError):
    """The data cannot be used as a whole; the message gives the reason and the remedy."""


class BadImageError(ValueError):
    """One file is not a usable image; the message gives the reason and the remedy (the caller knows the file name)."""


def listing(lines: Sequence[str], limit: int = 20) -> str:
    """Join the first lines, indented, and the number of further ones. Line breaks within a line are escaped."""
    shown = [f"  {field(line)}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  ... and {len(lines) - limit:,} more")
    return "\n".join(shown)


def named(names: Sequence[str], limit: int = 4) -> str:
    """Join the first names and the number of further ones: `cats, dogs and 3 more`. Control characters are escaped."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:limit]) + more
