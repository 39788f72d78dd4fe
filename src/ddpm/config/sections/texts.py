"""Checks of texts that other programs parse later: a cron schedule, a git branch."""

import re
from datetime import datetime

from cronsim import CronSim, CronSimError

NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
"""Names that Prefect supports, which excludes @reboot."""
START = datetime(2024, 1, 1)  # a leap year, so that a schedule on 29 February comes due soon


def cron(text: str) -> str:
    """Check a schedule that Prefect accepts and that comes due. Raises ValueError.

    Five fields: Prefect reads a sixth as seconds, other programs differ. It does not support `LW` and `5L`.
    """
    if text in NAMED:
        return text
    fields = text.split()
    problem = ""
    if not text.isascii() or not text.isprintable():
        problem = "it has characters that are not part of a schedule"
    elif len(fields) != 5:
        problem = f"it has {len(fields)} fields"
    elif re.search(r"LW|\dL|\dW", text, re.IGNORECASE):
        problem = "Prefect does not support LW, 5L and 15W"
    elif re.search(r"[#L]", fields[4], re.IGNORECASE) and fields[2] not in {"*", "?"}:
        problem = "a weekday such as 5#1 or L5 needs * as the day"
    else:
        try:
            minute, hour, day, month, weekday = _as_cronsim_writes(fields)
            for each in ((day, "*"), ("*", weekday)):  # a schedule runs on either; both must come due
                next(CronSim(f"{minute} {hour} {each[0]} {month} {each[1]}", START))
        except (CronSimError, ValueError, OverflowError) as error:
            problem = str(error) or "not a schedule"
        except StopIteration:
            problem = "such a day never comes"
    if problem:
        raise ValueError(
            f"{text[:80]!r} is not a cron schedule ({problem}). Give minute, hour, day, month and weekday, as in "
            '"0 3 * * *"'
        )
    return text


def _as_cronsim_writes(fields: list[str]) -> list[str]:
    """Rewrite what Prefect accepts and cronsim does not: `?`, `L5`, and ranges that wrap around (22-3)."""
    days = {2: "*", 4: "*"}
    fields = [days.get(place, field) if field == "?" else field for place, field in enumerate(fields)]
    fields[4] = re.sub(r"^L([0-7])$", r"\1L", fields[4], flags=re.IGNORECASE)

    def ends(found: re.Match[str]) -> str:
        first, last = int(found[1]), int(found[2])
        return f"{first},{last}" if first > last else found[0]

    return [re.sub(r"(?<!\d)(\d{1,2})-(\d{1,2})(/[1-9]\d?)?(?!\d)", ends, field) for field in fields]


def branch(text: str) -> str:
    """Check a valid branch name (git check-ref-format), or "". Raises ValueError."""
    parts = text.split("/")
    wrong = ".." in text or text.endswith(".") or text == "HEAD"
    if text and (wrong or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)):
        raise ValueError(
            f"{text!r} is not a valid branch name: no part may be empty, begin with a dot or end with "
            '.lock, and the name must not contain "..", end with a dot or be HEAD'
        )
    return text
