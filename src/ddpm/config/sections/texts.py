"""Check texts that other programs read later: a cron schedule, a git branch."""

import re
from datetime import datetime

from cronsim import CronSim, CronSimError

NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
"""The names that Prefect knows; @reboot is not one of them."""
START = datetime(2024, 1, 1)  # a leap year, so that a schedule on 29 February has a first time soon


def cron(text: str) -> str:
    """A schedule that Prefect takes and that comes due. Raises ValueError.

    Five fields: Prefect reads a sixth as seconds, other programs as something else. `LW` and `5L` are unknown to it.
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
        problem = "LW, 5L and 15W are not known to Prefect"
    elif re.search(r"[#L]", fields[4], re.IGNORECASE) and fields[2] not in {"*", "?"}:
        problem = "a weekday such as 5#1 or L5 needs * as the day"
    else:
        try:
            minute, hour, day, month, weekday = _as_cronsim_writes(fields)
            for each in ((day, "*"), ("*", weekday)):  # a date that either names; both have to come
                next(CronSim(f"{minute} {hour} {each[0]} {month} {each[1]}", START))
        except (CronSimError, ValueError, OverflowError) as error:
            problem = str(error) or "not a schedule"
        except StopIteration:
            problem = "such a day never comes"
    if problem:
        raise ValueError(
            f"{text[:80]!r} is not a schedule of cron ({problem}). Give minute, hour, day, month and weekday, as in "
            '"0 3 * * *"'
        )
    return text


def _as_cronsim_writes(fields: list[str]) -> list[str]:
    """The five fields without what Prefect takes and cronsim does not: `?`, `L5`, and ranges over the end (22-3)."""
    days = {2: "*", 4: "*"}
    fields = [days.get(place, field) if field == "?" else field for place, field in enumerate(fields)]
    fields[4] = re.sub(r"^L([0-7])$", r"\1L", fields[4], flags=re.IGNORECASE)

    def ends(found: re.Match[str]) -> str:
        first, last = int(found[1]), int(found[2])
        return f"{first},{last}" if first > last else found[0]

    return [re.sub(r"(?<!\d)(\d{1,2})-(\d{1,2})(/[1-9]\d?)?(?!\d)", ends, field) for field in fields]


def branch(text: str) -> str:
    """A name that git takes for a branch (git check-ref-format), or "". Raises ValueError."""
    parts = text.split("/")
    wrong = ".." in text or text.endswith(".") or text == "HEAD"
    if text and (wrong or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)):
        raise ValueError(
            f"git does not take {text!r} as the name of a branch: no part may be empty, begin with a dot or end with "
            '.lock, and the name may not hold "..", end with a dot or be HEAD'
        )
    return text
