"""Model cards on MLflow's pages and in the packed model, against a real record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm import registry, tracking
from ddpm.data import profile
from ddpm.registry import card
from ddpm.tracking.names import TAGS_FOR_READERS
from tests.support import hostile, tiny
from tests.support.records import DIGEST

NAME = "digits"
EVIDENCE: dict[str, Any] = {
    "fid": 30.123, "kid": 0.01, "inception_score": 7.5, "conditions": {"extractor": "classifier", "count": 2000},
    "spread": {"fid": {"mean": 30.0, "std": 0.456}}, "blocks": {"count": 8}, "floors": {"fid": {"equal_counts": 9.25}},
}  # fmt: skip
NOTE = "mlflow.note.content"


@pytest.fixture
def make(project: Path, tmp_path: Path) -> Callable[[str], int]:
    """Registers a judged version; each digest is a training with a run of its own."""
    rows = np.zeros(500, profile.ROW)
    profile.Profile(rows, ("dark", "light"), ("L",), 8, 1, "d" * 64).write(project / "out/prepare")

    def make(digest: str = DIGEST) -> int:
        run_id = tracking.complete(digest, EVIDENCE, tags={"ddpm.data_hash": "c0b6.dir", "ddpm.git_sha": "5eaf"})
        tracking.record_dataset(run_id)
        folder = tmp_path / digest
        if not folder.exists():
            tiny.random_checkpoint(folder, {**tiny.CONFIG, "digest": digest})
        number = registry.register(folder, NAME, run_id, EVIDENCE)
        registry.annotate(NAME, number, {"ddpm.verdict": "better", "ddpm.reasons": "FID is lower; recall is equal"})
        return number

    return make


def descriptions(number: int) -> tuple[str, str, str]:
    """Descriptions of the run, the version and the model."""
    connection = tracking.client()
    run = connection.get_run(registry.version(NAME, number).run_id)
    version = connection.get_model_version(NAME, str(number))
    return run.data.tags[NOTE], version.description, connection.get_registered_model(NAME).description


def test_a_card_has_verdict_scores_data_limits_and_commands(make: Callable[[], int]) -> None:
    number = make()
    text = registry.describe(NAME, number)
    run_id = registry.version(NAME, number).run_id
    for part in (
        "# digits version 1", "Verdict of the gate: **better**", "- FID is lower\n- recall is equal",
        f"(get-artifact?path=evaluate/pictures/samples.png&run_uuid={run_id})",
        "Measured with classifier, 2,000 images.", "| FID | 30.1 | ± 0.46 | 9.25 |", "| KID | 0.0100 | - | - |",
        "500 images of 8 x 8 pixels", "c0b6.dir", "commit 5eaf", "2 classes: dark, light", "## Intended use and limits",
        "    ddpm sample --model models:/digits/1 --count 64 --out samples.png", "    ddpm lineage models:/digits/1",
        "    ddpm reproduce models:/digits/1",
    ):  # fmt: skip
        assert part in text, part
    assert "precision" not in text, "it was not measured"


def test_run_version_model_and_packed_model_have_the_same_text(make: Callable[[], int], tmp_path: Path) -> None:
    number = make()
    text = registry.describe(NAME, number)
    assert descriptions(number) == (text, text, text)
    import mlflow.artifacts

    file = f"{registry.version(NAME, number).source}/{card.FILE}"
    packed = mlflow.artifacts.download_artifacts(file, dst_path=str(tmp_path), tracking_uri=tracking.tracking_uri())
    assert Path(packed).read_text() == text
    run = tracking.client().get_run(registry.version(NAME, number).run_id)
    assert run.info.run_name == "digits v1, FID (classifier, 2,000 images) 30.1"
    wanted = {"Model": "digits", "Version": "1", "Verdict": "better", "Data": "500 images"}
    assert wanted.items() <= run.data.tags.items()
    assert set(TAGS_FOR_READERS) == set(list(run.data.tags)[: len(TAGS_FOR_READERS)]), "before the hashes"


def test_describing_again_changes_nothing(make: Callable[[], int]) -> None:
    number = make()
    registry.describe(NAME, number)
    connection = tracking.client()
    run_id = registry.version(NAME, number).run_id
    before = connection.get_run(run_id).to_dictionary(), descriptions(number)
    registry.describe(NAME, number)
    assert make() == number, "record and registration again leave the card"
    assert (connection.get_run(run_id).to_dictionary(), descriptions(number)) == before


def test_what_a_user_wrote_stays_and_a_new_verdict_replaces_the_card(make: Callable[[], int]) -> None:
    number = make()
    registry.describe(NAME, number)
    connection = tracking.client()
    run_id = registry.version(NAME, number).run_id
    connection.update_run(run_id, name="my best")
    connection.set_tag(run_id, NOTE, "mine")
    registry.annotate(NAME, number, {"ddpm.verdict": "worse"})
    text = registry.describe(NAME, number)
    assert "**worse**" in text
    assert descriptions(number) == ("mine", text, text)
    run = connection.get_run(run_id)
    assert (run.info.run_name, run.data.tags["Verdict"]) == ("my best", "worse")
    connection.update_model_version(NAME, str(number), "ours")
    connection.update_registered_model(NAME, "the family's")
    registry.describe(NAME, number)
    assert descriptions(number) == ("mine", "ours", "the family's")


def test_the_model_shows_its_champion(make: Callable[[str], int]) -> None:
    first, second = make("ab" * 32), make("cd" * 32)
    for number in (first, second):
        registry.annotate(NAME, number, {"ddpm.verified": "{}"})
    registry.promote(NAME, first, why="first", expected_champion=None)
    cards = {number: registry.describe(NAME, number) for number in (first, second)}
    assert descriptions(second) == (cards[second], cards[second], cards[first])


def test_a_long_card_is_cut_on_the_pages_and_whole_in_the_file(make: Callable[[], int]) -> None:
    number = make()
    registry.annotate(NAME, number, {"ddpm.reasons": "x" * 6000})
    text = registry.describe(NAME, number)
    assert len(text) > 5000
    assert all(len(each) < 5000 and card.FILE in each for each in descriptions(number))


def test_a_version_without_a_run_has_no_card(project: Path) -> None:
    connection = tracking.client()
    connection.create_registered_model(NAME)
    connection.create_model_version(NAME, (project / "x").as_uri())
    assert registry.describe(NAME, 1) == ""


def test_hostile_text_is_text(make: Callable[[], int]) -> None:
    number = make()
    registry.annotate(NAME, number, {"ddpm.verdict": "worse"})
    plain = registry.describe(NAME, number).replace("![Samples", "Samples")
    registry.annotate(NAME, number, {"ddpm.reasons": f"{hostile.TEXT}; b", "ddpm.git_sha": hostile.TEXT})
    text = registry.describe(NAME, number).replace("![Samples", "Samples")
    hostile.markdown(text, len(plain.splitlines()))
