"""Manual promotion regardless of the gate's verdict, recorded as such in the audit trail."""

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
    """Make a version the champion regardless of the gate's verdict, once it is verified in a clean process.

    log: receives the gate's verdict, and a line when verification begins. Raises ValueError for an empty reason;
    otherwise as `promote`.
    """
    if not why.strip():
        raise ValueError("why is empty: give the reason for this promotion")
    chosen, champion = version(name, number), status(name).champion
    log(f"gate: {gate_verdict(chosen)}")
    if not chosen.verified:
        log(f"verify: loading version {number} and sampling from it in a clean process")
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
    """Return the gate's verdict and its reasons from the version's tags."""
    if "ddpm.verdict" not in chosen.tags:
        return "has not judged this version"
    return f"{chosen.tags['ddpm.verdict']}: {chosen.tags.get('ddpm.reasons', '')}"
