"""The commands about models, as a person types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.imaging import sheets
from ddpm.model import checkpoint
from ddpm.registry.versions import CONTENT_TAG, EVIDENCE_TAG, VERIFIED_TAG
from ddpm.sampling import generate
from tests.support import tiny
from tests.support.receiving import SECRET, receiver

NAME = ["--name", "digits"]


def ddpm(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def refused(*arguments: str) -> str:
    """The error message of a command that must fail."""
    result = ddpm(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def versions(project: Path) -> None:
    """Two versions; the gate liked the first."""
    connection = tracking.client()
    connection.create_registered_model("digits")
    for content, verdict, fid in (("a", "first", 30.0), ("b", "worse", 41.5)):
        tags = {
            CONTENT_TAG: content, VERIFIED_TAG: "{}",
            EVIDENCE_TAG: json.dumps({"fid": fid, "conditions": {"extractor": "classifier"}}), "ddpm.verdict": verdict,
            "ddpm.reasons": f"FID {fid}", "ddpm.git_sha": "0123456789", "ddpm.git_dirty": "true",
        }  # fmt: skip
        connection.create_model_version("digits", (project / content).as_uri(), tags=tags)
    registry.promote("digits", 1, why="first", expected_champion=None)


def test_status_shows_versions_scores_and_where_they_come_from(versions: None) -> None:
    said = ddpm("status", *NAME).output
    first = next(line for line in said.splitlines() if line.startswith("1 "))
    for part in ("champion", "30", "first", "yes", "01234567+"):
        assert part in first
    assert "FID of features of classifier" in said
    assert "models:/digits@champion" in said
    assert "MLFLOW_TRACKING_URI=sqlite:" in said.replace("\n", "")


def test_a_person_promotes_against_the_gate_and_rolls_back(versions: None) -> None:
    promoted = ddpm("promote", "2", "--why", "sharper sevens", *NAME)
    assert "gate: worse: FID 41.5" in promoted.output
    assert "champion of digits is version 2 (was 1)" in promoted.output
    assert "champion of digits is version 1 (was 2)" in ddpm("rollback", "--why", "no", *NAME).output
    assert "nothing changed" in ddpm("rollback", *NAME).output
    assert (
        "champion of digits is version 2 (was 1)" in ddpm("rollback", "--to", "2", "--why", "after all", *NAME).output
    )
    assert "nothing changed" in ddpm("rollback", "--to", "2", *NAME).output
    told = ddpm("history", *NAME).output
    assert [line.split()[3] for line in told.splitlines() if line[:1].isdigit()] == [
        "promote", "promote", "rollback", "rollback",
    ]  # fmt: skip
    assert "sharper sevens" in " ".join(told.split())


def test_moves_by_hand_are_notified_of_and_never_fail_for_it(versions: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as web:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        assert ddpm("promote", "2", "--why", "sharper sevens", *NAME).stderr == ""
        made = web.next()
        assert (made["type"], made["version"], made["before"]) == ("ddpm.promoted", 2, 1)
        assert (made["who"], made["reasons"]) == (registry.audit.current_user(), ["sharper sevens"])
        ddpm("rollback", "--why", "no", *NAME)
        assert web.next()["type"] == "ddpm.rolled-back"
        ddpm("rollback", *NAME)  # changes nothing
        assert web.empty()
        web.statuses = [404]
        moved = ddpm("promote", "2", "--why", "after all", *NAME)
        assert (moved.exit_code, moved.stderr) == (
            0, "warning: the notification 'ddpm.promoted' was not delivered: the receiver answered 404\n"
        )  # fmt: skip
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", "short")
    moved = ddpm("rollback", "--why", "no", *NAME)
    assert moved.exit_code == 0
    assert moved.stderr.startswith(
        "warning: the notification 'ddpm.rolled-back' was not delivered: DDPM_WEBHOOK_SECRET"
    )
    assert registry.status("digits").aliases["champion"] == 1


def test_a_promotion_needs_a_reason(versions: None) -> None:
    assert ddpm("promote", "2", *NAME).exit_code == 2
    assert "why is empty" in refused("promote", "2", "--why", " ", *NAME)
    assert "no version 9; it has 2, 1" in refused("promote", "9", "--why", "x", *NAME)


def test_before_the_first_version(project: Path) -> None:
    assert "no version is registered yet" in ddpm("status", *NAME).output
    assert "has never changed" in ddpm("history", *NAME).output
    assert "no champion" in refused("rollback", *NAME)
    assert "params.yaml does not exist" in refused("status")


def test_a_server_that_is_down_is_named_without_its_password(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    said = refused("status", *NAME)
    assert "http://127.0.0.1:9 does not answer" in said
    assert "secret" not in said


def test_samples_as_grid_folder_and_array(project: Path, tiny_checkpoint: Path) -> None:
    draw = ["sample", "--model", str(tiny_checkpoint), "--count", "5", "--steps", "3"]
    for out in ("grid.png", "array.npy", "folder"):
        assert ddpm(*draw, "--out", out).exit_code == 0
    images = np.load("array.npy")
    assert (images.shape, images.dtype) == ((5, 8, 8, 1), np.uint8)
    single = [np.asarray(Image.open(path)) for path in sorted(Path("folder").iterdir())]
    assert np.array_equal(single, images[:, :, :, 0])
    grid = np.asarray(Image.open("grid.png"))
    zoom = sheets.CELL // 8
    place, top = 8 * zoom + sheets.GAP, sheets.FONT_SIZE + 10
    assert grid.shape[:2] == (top + 3 * place - sheets.GAP, 2 * place - sheets.GAP), "a column for each class, named"
    assert grid[:top, :place, 3].any()
    assert np.array_equal(grid[top : top + 8 * zoom : zoom, place : place + 8 * zoom : zoom, 0], images[1, :, :, 0])
    assert not grid[top + 2 * place :, place:, 3].any(), "the place of the sixth is empty"


def test_a_label_by_name_or_index(project: Path, tiny_checkpoint: Path) -> None:
    draw = ["sample", "--model", str(tiny_checkpoint), "--count", "2", "--steps", "2"]
    for label, out in (("light", "name.npy"), ("1", "index.npy"), ("dark", "other.npy")):
        assert ddpm(*draw, "--label", label, "--out", out).exit_code == 0
    assert np.array_equal(np.load("name.npy"), np.load("index.npy"))
    assert not np.array_equal(np.load("name.npy"), np.load("other.npy"))


def test_a_number_is_the_name_of_a_class(project: Path) -> None:
    """With classes named 1 and 2, `2` is the second class, not an index."""
    image = {**tiny.CONFIG["image"], "classes": ["1", "2"]}
    folder = tiny.random_checkpoint(project / "m", {**tiny.CONFIG, "image": image})
    draw = ["sample", "--model", str(folder), "--count", "2", "--steps", "2"]
    assert ddpm(*draw, "--class", "2", "--out", "two.npy").exit_code == 0
    sampling = generate.Sampling(steps=2)
    assert np.array_equal(np.load("two.npy"), generate.generate(checkpoint.load(folder), 2, sampling, labels=[1, 1]))
    assert "label 0 does not exist; this model has 1, 2" in refused(*draw, "--label", "0")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x.tiff"], "end it with .png"),
        (["--out", "x.png", "--count", "10001"], "a grid has at most 10000 images"),
        (["--out", "full"], "exists; name another, or use --overwrite"),
        (["--label", "green"], "label green does not exist; this model has dark, light"),
        (["--class", "lihgt"], "nearest: light"),
        (["--sampler", "eular"], "sampler = 'eular' is unknown"),
        (["--steps", "51"], "this model has T = 50"),
        (["--device", "quantum"], "device quantum"),
        (["--model", "nowhere"], "nowhere is not a model"),
        (["--model", "models:/digits@champion"], "digits is not a registered model at "),
    ],
)
def test_an_impossible_wish_is_answered_in_words(
    project: Path, tiny_checkpoint: Path, options: list[str], said: str
) -> None:
    (project / "full").mkdir()
    (project / "full" / "mine").write_text("keep")
    assert said in refused("sample", "--model", str(tiny_checkpoint), "--count", "2", *options)
    assert (project / "full" / "mine").read_text() == "keep"
