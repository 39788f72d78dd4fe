"""What can be wrong with data, said in words."""

from collections.abc import Sequence

from ddpm.common.terminal import field


class DataError(ValueError):
    """The data as a whole cannot be used; the message says which, why, and what to do."""


class BadImageError(ValueError):
    """One file is no usable image; the message says why and what to do (the caller knows the file's name)."""


def listing(lines: Sequence[str], limit: int = 20) -> str:
    """The first lines, indented, and how many more there are. A line break inside of one is spelled out."""
    shown = [f"  {field(line)}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  ... and {len(lines) - limit:,} more")
    return "\n".join(shown)


def named(names: Sequence[str], limit: int = 4) -> str:
    """The first names, and how many more there are: `cats, dogs and 3 more`. Control characters are escaped."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:limit]) + more
