"""Names of classes and files as labels in pictures and plots."""

from ddpm.common.terminal import plain

LONGEST = 40


def label(name: str, longest: int = LONGEST) -> str:
    """Shorten a name to one line without control characters."""
    line = plain(name, longest=10 * longest)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
