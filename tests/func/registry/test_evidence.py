"""The gate's evidence is stored with the version, once, and checked against its hash."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.registry import lineage
from ddpm.registry.evidence import JUDGED_TAG
from tests.func.registry.conftest import NAME, die_at

Make = Callable[..., int]
EVIDENCE = {"verdict": {"verdict": "worse", "reasons": ["FID is higher", "recall is lower"]}, "scores": {"fid": 1.5}}


def kept(number: int) -> list[str]:
    """Places of the files on the run of a version."""
    run_id = registry.version(NAME, number).run_id
    return [each.path for each in tracking.client().list_artifacts(run_id, "gate")]


def test_evidence_comes_back_and_the_verdict_is_on_the_version(make: Make) -> None:
    number = make("a")
    place = registry.save_evidence(NAME, number, EVIDENCE)
    assert registry.load_evidence(NAME, number) == EVIDENCE
    tags = registry.version(NAME, number).tags
    assert (tags["ddpm.verdict"], tags["ddpm.reasons"]) == ("worse", "FID is higher; recall is lower")
    assert (tags[JUDGED_TAG], kept(number)) == (place, [place])
    told = {"verdict": "worse", "reasons": "FID is higher; recall is lower", "evidence": place}
    assert lineage.trace(f"models:/{NAME}/1").as_json()["verdict"] == told


def test_equal_evidence_is_kept_once_and_other_evidence_beside(make: Make) -> None:
    number = make("a")
    first = registry.save_evidence(NAME, number, EVIDENCE)
    assert registry.save_evidence(NAME, number, dict(reversed(EVIDENCE.items()))) == first
    second = registry.save_evidence(NAME, number, EVIDENCE | {"scores": {"fid": 2.0}})
    assert sorted(kept(number)) == sorted([first, second])
    assert registry.load_evidence(NAME, number)["scores"] == {"fid": 2.0}


def test_evidence_that_was_changed_or_never_given_is_told(make: Make) -> None:
    number = make("a")
    with pytest.raises(registry.RegistryError, match="has not judged version 1"):
        registry.load_evidence(NAME, number)
    place = registry.save_evidence(NAME, number, EVIDENCE)
    root = Path(
        tracking.client().get_run(registry.version(NAME, number).run_id).info.artifact_uri.removeprefix("file://")
    )
    files.write_text(root / place, (root / place).read_text().replace("1.5", "1.4"))
    with pytest.raises(registry.RegistryError, match="does not have its recorded hash"):
        registry.load_evidence(NAME, number)


@pytest.mark.parametrize(("where", "call"), [("log_artifact", 1), *(("set_model_version_tag", n) for n in (1, 2, 3))])
def test_a_judgement_killed_between_two_steps_is_brought_to_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str, call: int
) -> None:
    number = make("a")
    die_at(monkeypatch, where, call, lambda: registry.save_evidence(NAME, number, EVIDENCE))
    with pytest.raises(registry.RegistryError, match="has not judged"):
        registry.load_evidence(NAME, number)
    place = registry.save_evidence(NAME, number, EVIDENCE)
    assert (registry.load_evidence(NAME, number), kept(number)) == (EVIDENCE, [place])
