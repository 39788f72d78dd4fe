"""Promotion by hand, whatever the verdict of the gate; the audit trail records it as such."""

from collections.abc import Callable

from ddpm.registry.aliases import promote
from ddpm.registry.audit import Move
from ddpm.registry.lock import RegistryLock, file_lock
from ddpm.registry.versions import Version, status, version


def force_promote(
    name: str,
    number: int,
    why: str,
    log: Callable[[str], None] = lambda text: None,
    *,
    lock: RegistryLock = file_lock,
) -> Move:
    """Make a version the champion against the gate's verdict; it is loaded and sampled in a clean process first.

    log: takes a line with the gate's verdict, and one when the check begins. Raises ValueError for an empty reason, and
    what `promote` raises.
    """
    if not why.strip():
        raise ValueError("why is empty: log in a few words why this version should be champion")
    chosen, champion = version(name, number), status(name).champion
    log(f"gate: {gate_verdict(chosen)}")
    if not chosen.verified:
        log(f"verify: loading version {number} and drawing from it in a clean process")
    return promote(
        name,
        number,
        why=why,
        expected_champion=champion.number if champion else None,
        evidence={"decided_by": "person", "gate": gate_verdict(chosen), "evaluation": chosen.evidence},
        force=True,
        lock=lock,
    )


def gate_verdict(chosen: Version) -> str:
    """The gate's verdict on a version, as its tags have it."""
    if "ddpm.verdict" not in chosen.tags:
        return "has not judged this version"
    return f"{chosen.tags['ddpm.verdict']}: {chosen.tags.get('ddpm.reasons', '')}"
