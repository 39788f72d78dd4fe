"""A person's decision: a version becomes champion whatever the gate said, and the trail says so."""

from collections.abc import Callable

from ddpm.registry.aliases import promote
from ddpm.registry.audit import Move
from ddpm.registry.versions import Version, status, version


def promote_by_hand(name: str, number: int, why: str, say: Callable[[str], None] = lambda text: None) -> Move:
    """Make a version the champion because a person says so; it is loaded and sampled in a clean process first.

    say: takes a line on what the gate said, and one when the check begins. Raises ValueError for an empty reason, and
    what `promote` raises.
    """
    if not why.strip():
        raise ValueError("why is empty: say in a few words why this version should be champion")
    chosen, champion = version(name, number), status(name).champion
    say(f"gate: {gate_said(chosen)}")
    if not chosen.verified:
        say(f"verify: loading version {number} and drawing from it in a clean process")
    return promote(
        name,
        number,
        why=why,
        expected_champion=champion.number if champion else None,
        evidence={"decided_by": "person", "gate": gate_said(chosen), "evaluation": chosen.evidence},
        insist=True,
    )


def gate_said(chosen: Version) -> str:
    """What the gate said of a version, as it was noted on it."""
    if "ddpm.verdict" not in chosen.tags:
        return "has not judged this version"
    return f"{chosen.tags['ddpm.verdict']}: {chosen.tags.get('ddpm.reasons', '')}"
