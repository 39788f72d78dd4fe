"""Names and formats of scores: the same on the terminal, on pages and in Markdown."""

from ddpm.common.units import score_number

NAMES = {
    "fid": "FID",
    "fid_ratio": "FID ratio to real images",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "inception_score": "Inception Score",
    "class_accuracy": "class accuracy",
    "class_share_min": "smallest class share",
    "memorisation_ratio": "memorisation ratio",
    "heldout_gap": "held-out loss gap",
    "facts_deviation": "deviation of stylised facts",
}
SHARES = frozenset({"class_accuracy", "class_share_min", "heldout_gap"})
"""Keys of the scores that are written as percentages."""
SHARE_NAMES = frozenset(NAMES[key] for key in SHARES)


def title(key: str) -> str:
    """Return the name of a score as it begins a line: `Class accuracy`."""
    return f"{NAMES[key][0].upper()}{NAMES[key][1:]}"


def is_share(name: str) -> bool:
    """Return True for the name of a score that is written as a percentage."""
    return f"{name[:1].lower()}{name[1:]}" in SHARE_NAMES


def text(name: str, value: float | None, *, digits: int = 3) -> str:
    """Format a score by its name in NAMES, which may begin with a capital; "" without a value."""
    return score_number(value, digits=digits, share=is_share(name))


def failing(name: str, value: float | None, limit: str) -> str:
    """Format a score that fails a limit, with enough digits to differ from it: `20.01` for `at most 20`."""
    shown = [text(name, value, digits=digits) for digits in range(3, 9)]
    bound = _number(limit.rsplit(maxsplit=1)[-1])
    return next((each for each in shown if _number(each) != bound), shown[0])


def _number(shown: str) -> float | None:
    """Read a formatted number; None for other text."""
    try:
        return float(shown.removesuffix("%").replace(",", ""))
    except ValueError:
        return None


def limit(name: str, value: float) -> str:
    """Format a limit of a score with up to four digits, one more than the score itself: `10`, `54.4%`, `0.02191`."""
    shown = text(name, float(value), digits=4)
    number, percent = shown.removesuffix("%"), "%" if shown.endswith("%") else ""
    return (number.rstrip("0").rstrip(".") if "." in number and "e" not in number else number) + percent
