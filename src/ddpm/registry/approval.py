"""A person's answer to the question whether a version becomes the champion, kept on the version as one tag.

The question belongs to a version and the champion that it was judged against, is asked once, is answered once, and ends
at a time. Flow and command line meet here, so that an answer counts whether or not a flow is waiting for it.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from ddpm.registry.audit import current_user
from ddpm.registry.lock import Held, RegistryLock, file_lock
from ddpm.registry.versions import RegistryError, Version, annotate, status, version

TAG = "ddpm.approval"
State = Literal["asked", "approved", "rejected", "expired"]


@dataclass(frozen=True)
class Question:
    """Whether `version` replaces `champion`. until: when the time to answer ends. runs: the flow runs that asked.

    asked, until, when: ISO 8601, UTC. who, when, why: of the answer; empty before. notified: whether the notification
    of the question was delivered.
    """

    version: int
    champion: int | None
    state: State
    asked: str
    until: str
    runs: tuple[str, ...] = ()
    who: str = ""
    when: str = ""
    why: str = ""
    notified: bool = False

    @property
    def overdue(self) -> bool:
        """Whether the time to answer has ended."""
        return datetime.now(UTC) >= datetime.fromisoformat(self.until)

    def __str__(self) -> str:
        """`approved by ann@desk: sharper sevens`."""
        if self.state == "asked":
            return f"asked; there is time to answer until {self.until}"
        if self.state == "expired":
            return f"expired: nobody answered until {self.until}"
        return f"{self.state} by {self.who}: {self.why}"


def question(name: str, number: int) -> Question | None:
    """What was last asked about a version, and answered. Raises RegistryError for a version that does not exist."""
    return read(version(name, number))


def read(found: Version) -> Question | None:
    """The same of a version that was listed."""
    if TAG not in found.tags:
        return None
    known = found.json_tag(TAG)
    try:
        return Question(**{**known, "runs": tuple(known["runs"])})
    except (KeyError, TypeError) as error:
        raise RegistryError(
            f"the tag {TAG} of version {found.number} of {found.name} is not what this program wrote ({error}). Put it "
            "back or delete it on MLflow's page."
        ) from error


def ask(
    name: str, number: int, champion: int | None, hours: float, run: str, *, lock: RegistryLock = file_lock
) -> Question:
    """Ask whether the version replaces the champion, unless that was asked or answered already; return the question.

    A question whose time has ended without an answer is asked again; so is one that was about another champion.
    """
    with lock(name) as held:
        known = question(name, number)
        if known and known.champion == champion and known.state != "expired" and not (_open(known) and known.overdue):
            if _open(known) and run not in known.runs:
                known = _save(held, replace(known, runs=(*known.runs, run)))
            return known
        now = datetime.now(UTC)
        until = now + timedelta(hours=hours)
        return _save(held, Question(number, champion, "asked", _iso(now), _iso(until), (run,)))


def answer(
    name: str, number: int, *, approve: bool, why: str, who: str = "", lock: RegistryLock = file_lock
) -> Question:
    """A person's answer. Raises RegistryError for what was not asked, is answered, is over, or is out of date."""
    if not why.strip():
        raise RegistryError("the reason is empty: say in a few words why")
    with lock(name) as held:
        known = question(name, number)
        by_hand = f"`ddpm promote {number} --why ...` makes it the champion whatever was asked"
        if known is None:
            raise RegistryError(f"nobody was asked about version {number} of {name}; {by_hand}")
        if known.state != "asked" or known.overdue:
            closed = replace(known, state="expired") if known.state == "asked" else known
            raise RegistryError(f"the question about version {number} of {name} is closed: {closed}; {by_hand}")
        champion = status(name).aliases.get("champion")
        if champion != known.champion:
            raise RegistryError(
                f"version {number} of {name} was judged against {_named(known.champion)}, and the champion is "
                f"{_named(champion)} now; the next run judges it again, or {by_hand}"
            )
        state: State = "approved" if approve else "rejected"
        now = _iso(datetime.now(UTC))
        return _save(held, replace(known, state=state, who=who or current_user(), when=now, why=why.strip()))


def set_notified(name: str, asked: Question, *, lock: RegistryLock = file_lock) -> None:
    """Note that the notification of a question was delivered, unless another was asked meanwhile."""
    with lock(name) as held:
        known = question(name, asked.version)
        if known and known.asked == asked.asked:
            _save(held, replace(known, notified=True))


def expire(name: str, number: int, *, lock: RegistryLock = file_lock) -> Question:
    """The time is over: close the question, unless an answer came in the last moment."""
    with lock(name) as held:
        known = question(name, number)
        if known is None:
            raise RegistryError(f"nobody was asked about version {number} of {name}")
        return _save(held, replace(known, state="expired")) if _open(known) else known


def _open(known: Question) -> bool:
    return known.state == "asked"


def _save(held: Held, known: Question) -> Question:
    """One tag, so that it is written whole or not at all."""
    held.require()
    annotate(held.name, known.version, {TAG: json.dumps(asdict(known), ensure_ascii=False)})
    return known


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _named(number: int | None) -> str:
    return f"version {number}" if number is not None else "none"
