"""Manual approval of a promotion, kept as one tag on the version.

A question concerns a version and the champion that it was compared with. It is asked once, answered once, and expires.
Flow and command line share this record, so an answer counts whether or not a flow is waiting for it.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from ddpm.registry.audit import current_user
from ddpm.registry.lock import Held, RegistryLock, file_lock
from ddpm.registry.versions import RegistryError, Version, annotate, status, version

TAG = "ddpm.approval"
QuestionState = Literal["asked", "approved", "rejected", "expired"]


@dataclass(frozen=True)
class Question:
    """Request to replace `champion` by `version`. until: deadline of the answer. runs: the flow runs that asked.

    asked, until, when: ISO 8601, UTC. who, when, why: author, time and reason of the answer, else empty. notified: True
    once the notification of the question was delivered.
    """

    version: int
    champion: int | None
    state: QuestionState
    asked: str
    until: str
    runs: tuple[str, ...] = ()
    who: str = ""
    when: str = ""
    why: str = ""
    notified: bool = False

    @property
    def overdue(self) -> bool:
        """True after the deadline."""
        return datetime.now(UTC) >= datetime.fromisoformat(self.until)

    def __str__(self) -> str:
        """`approved by ann@desk: sharper sevens`."""
        if self.state == "asked":
            return f"asked; can be answered until {self.until}"
        if self.state == "expired":
            return f"expired: not answered by {self.until}"
        return f"{self.state} by {self.who}: {self.why}"


def question(name: str, number: int) -> Question | None:
    """Return the last question about a version; None if there was none. Raises RegistryError: no such version."""
    return read(version(name, number))


def read(found: Version) -> Question | None:
    """Return the last question about a listed version, as `question`. Raises RegistryError for an altered tag."""
    if TAG not in found.tags:
        return None
    stored = found.json_tag(TAG)
    try:
        return Question(**{**stored, "runs": tuple(stored["runs"])})
    except (KeyError, TypeError) as error:
        raise RegistryError(
            f"the tag {TAG} of version {found.number} of {found.name} was altered by another program ({error}). "
            "Restore it or delete it on MLflow's page."
        ) from error


def ask(
    name: str, number: int, champion: int | None, hours: float, run: str, *, lock: RegistryLock = file_lock
) -> Question:
    """Ask whether the version replaces the champion, unless this was asked already; return the question.

    A question that expired unanswered is asked again, and so is one that concerned another champion.
    """
    with lock(name) as held:
        current = question(name, number)
        if (
            current
            and current.champion == champion
            and current.state != "expired"
            and not (_open(current) and current.overdue)
        ):
            if _open(current) and run not in current.runs:
                current = _save(held, replace(current, runs=(*current.runs, run)))
            return current
        now = datetime.now(UTC)
        until = now + timedelta(hours=hours)
        return _save(held, Question(number, champion, "asked", _iso(now), _iso(until), (run,)))


def answer(
    name: str, number: int, *, approve: bool, why: str, who: str = "", lock: RegistryLock = file_lock
) -> Question:
    """Record an answer. Raises RegistryError: not asked, answered before, expired, or the champion has changed."""
    if not why.strip():
        raise RegistryError("the reason is empty: give the reason for this answer")
    with lock(name) as held:
        current = question(name, number)
        remedy = f"`ddpm promote {number} --why ...` makes it the champion without approval"
        if current is None:
            raise RegistryError(f"no approval was requested for version {number} of {name}; {remedy}")
        if current.state != "asked" or current.overdue:
            closed = replace(current, state="expired") if current.state == "asked" else current
            raise RegistryError(f"the question about version {number} of {name} is closed: {closed}; {remedy}")
        champion = status(name).aliases.get("champion")
        if champion != current.champion:
            raise RegistryError(
                f"version {number} of {name} was compared with {_named(current.champion)}, but the champion is "
                f"{_named(champion)} now; the next run judges it again, or {remedy}"
            )
        state: QuestionState = "approved" if approve else "rejected"
        now = _iso(datetime.now(UTC))
        return _save(held, replace(current, state=state, who=who or current_user(), when=now, why=why.strip()))


def set_notified(name: str, asked: Question, *, lock: RegistryLock = file_lock) -> None:
    """Record that the notification of a question was delivered, unless another was asked meanwhile."""
    with lock(name) as held:
        current = question(name, asked.version)
        if current and current.asked == asked.asked:
            _save(held, replace(current, notified=True))


def expire(name: str, number: int, *, lock: RegistryLock = file_lock) -> Question:
    """Close a question as expired, unless it was answered at the last moment. Raises RegistryError: not asked."""
    with lock(name) as held:
        current = question(name, number)
        if current is None:
            raise RegistryError(f"no approval was requested for version {number} of {name}")
        return _save(held, replace(current, state="expired")) if _open(current) else current


def _open(current: Question) -> bool:
    return current.state == "asked"


def _save(held: Held, current: Question) -> Question:
    """Write the question as one tag, hence atomically."""
    held.require()
    annotate(held.name, current.version, {TAG: json.dumps(asdict(current), ensure_ascii=False)})
    return current


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _named(number: int | None) -> str:
    return f"version {number}" if number is not None else "none"
