"""Names from elsewhere, as classes and files have, as they are drawn into pictures and plots."""

from ddpm.common.terminal import plain

LONGEST = 40


def label(name: str, longest: int = LONGEST) -> str:
    """One short line without control characters."""
    line = plain(name, longest=10 * longest)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
