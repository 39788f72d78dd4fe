"""Evidence and verdict of the gate: a JSON artifact of the version's run, named by its SHA-256."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm.common import files, validation
from ddpm.registry.versions import RegistryError, annotate, version
from ddpm.tracking import store

FOLDER = "gate"
JUDGED_TAG, VERDICT_TAG, REASONS_TAG = "ddpm.judged", "ddpm.verdict", "ddpm.reasons"


def save_evidence(name: str, number: int, evidence: Mapping[str, Any]) -> str:
    """Store the gate's evidence, tag the version with the verdict, and return the artifact path.

    evidence: `verdict` as from gate.Verdict.as_json, and everything it rests on. Equal evidence is stored once. Tags
    are set last, so they never name a missing file.
    """
    content = json.dumps(evidence, indent=2, sort_keys=True, allow_nan=False).encode()
    place = f"{FOLDER}/{files.sha256_bytes(content)}.json"
    found = version(name, number)
    if found.tags.get(JUDGED_TAG) != place:
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / Path(place).name
            file.write_bytes(content)
            store.client().log_artifact(found.run_id, str(file), FOLDER)
    verdict = evidence["verdict"]
    tags = {VERDICT_TAG: verdict["verdict"], REASONS_TAG: "; ".join(verdict["reasons"]), JUDGED_TAG: place}
    annotate(name, number, tags)
    return place


def load_evidence(name: str, number: int) -> dict[str, Any]:
    """Load the evidence stored last. Raises RegistryError if the version was not judged or the file is altered."""
    found = version(name, number)
    place = found.tags.get(JUDGED_TAG)
    if place is None:
        raise RegistryError(f"the gate has not judged version {number} of {name}")
    hashed = place.removeprefix(f"{FOLDER}/").removesuffix(".json")
    checked = validation.sha256(hashed, f"the tag {JUDGED_TAG} of version {number} of {name}", RegistryError)
    place = f"{FOLDER}/{checked}.json"
    with tempfile.TemporaryDirectory() as temporary:
        content = Path(store.client().download_artifacts(found.run_id, place, temporary)).read_bytes()
    if files.sha256_bytes(content) != Path(place).stem:
        raise RegistryError(f"the evidence about version {number} of {name}, {place}, does not have its recorded hash")
    evidence: dict[str, Any] = json.loads(content)
    return evidence
