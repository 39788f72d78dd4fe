"""Findings of the drift check for the page, from the files of .state/drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.units import score_number

FOLDER = Path(".state/drift")
MAX_VALUES = 12  # listed; more are counted


@dataclass(frozen=True)
class Drift:
    """Verdict and its description; rows of tests: name, effect, limit, corrected p, before, now; lines of counts."""

    summary: str
    verdict: str
    rows: Sequence[tuple[str, ...]]
    lines: Sequence[str]


def find(data_sha256: str, folder: Path = FOLDER) -> Mapping[str, Any] | None:
    """Load the newest finding about these data; None if they were not compared. Raises ValueError: damaged file."""
    paths = sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for path in paths:
        found = files.read_json(path)
        if isinstance(found, dict) and found.get("data_sha256") == data_sha256:
            return found
    return None


def describe(found: Mapping[str, Any]) -> Drift:
    """Format a finding."""
    rows = [
        (
            each["name"],
            score_number(each.get("effect")),
            score_number(each.get("limit")),
            score_number(each.get("p_corrected", each.get("p_value"))),
            _short(each.get("old")),
            _short(each.get("new")),
        )
        for each in found.get("tests", ())
    ]
    lines = []
    champion = found.get("champion") or {}
    if "version" in champion:
        lines.append(f"Compared with the data of version {champion['version']}, the champion.")
    counts = _counts(found.get("images"))
    if counts:
        lines.append(f"Images: {counts}.")
    changed = {f"{name}:": f"{old} → {new}" for name, (old, new) in found.get("classes", {}).items() if old != new}
    if changed:
        listed = _counts(changed) if len(changed) <= MAX_VALUES else f"{len(changed)} changed"
        lines.append(f"Images per class: {listed}.")
    distance = found.get("feature_distance")
    if distance:
        lines.append(
            f"Distance in feature space: {score_number(distance['value'])}; {score_number(distance['floor'])} between "
            "samples of the same data."
        )
    lines += [f"{note[:1].upper()}{note[1:]}." for note in found.get("notes", ())]
    return Drift(_sentence(str(found.get("words", ""))), str(found.get("verdict", "")), rows, lines)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def _counts(found: Any) -> str:
    """Format the numbers of a section as `new 12, removed 3`."""
    if not isinstance(found, Mapping):
        return ""
    return ", ".join(f"{str(key).replace('_', ' ')} {_short(value)}" for key, value in found.items() if _short(value))


def _short(value: Any) -> str:
    """Format a value briefly; long lists are counted."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int | float):
        return score_number(value, digits=4)
    if isinstance(value, list | tuple | Mapping) and len(value) > MAX_VALUES:
        return f"{len(value)} values"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    return ", ".join(map(_short, value)) if isinstance(value, list | tuple) else str(value)
