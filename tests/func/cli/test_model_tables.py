"""`ddpm status`, `history` and `doctor` at the widths of real terminals, and as JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.registry.versions import CONTENT_TAG, EVIDENCE_TAG, VERIFIED_TAG

NAME = ["--name", "digits"]
WHY = "better: FID (classifier) 30.1 instead of 41.5, which chance explains in 0.1 % of cases"


def output(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, [*arguments, *NAME])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.fixture
def record(project: Path) -> None:
    """Three versions with all that a version can show; the champion moved twice."""
    connection = tracking.client()
    connection.create_registered_model("digits")
    for content, verdict, fid in (("a", "first", 41.51234), ("b", "better", 30.12345), ("c", "inconclusive", 30.5)):
        scores = {"fid": fid, "inception_score": 7.654321, "conditions": {"extractor": "classifier", "count": 2000}}
        tags = {
            CONTENT_TAG: content, VERIFIED_TAG: "{}", EVIDENCE_TAG: json.dumps(scores), "ddpm.verdict": verdict,
            "ddpm.git_sha": 5 * "5e", "ddpm.git_dirty": "true", "ddpm.data_hash": 8 * "da",
        }  # fmt: skip
        connection.create_model_version("digits", (project / content).as_uri(), tags=tags)
    registry.promote("digits", 1, why="the first model", expected_champion=None)
    registry.promote("digits", 2, why=WHY, expected_champion=1)
    connection.set_registered_model_alias("digits", "candidate", "2")


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        ("200", ["version", "aliases", "registered", "FID", "IS", "gate", "loads", "code", "data"]),
        ("80", ["version", "aliases", "registered", "FID", "IS", "gate", "loads"]),
        ("60", ["version", "aliases", "registered", "FID", "gate"]),
    ],
)
def test_status_breaks_no_cell(
    record: None, columns: str, headings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = output("status")
    assert sum("classifier" in line for line in lines) == 1, "the extractor once"
    start = next(index for index, line in enumerate(lines) if line.startswith("version "))
    table = lines[start : next(index for index, line in enumerate(lines) if line.startswith("1 ")) + 1]
    assert table[0].split() == headings
    assert max(map(len, table)) <= int(columns)
    rows = {line[0]: line.split() for line in table[1:] if line[:1].isdigit()}
    assert rows["2"][-1 if columns == "60" else headings.index("gate") - len(headings)] == "better"
    assert "30.1" in rows["2"]
    assert "inconclusive" in rows["3"]
    assert rows["1"][1] == "previous"
    left_out = [name for name in ("IS", "loads", "code", "data") if name not in headings]
    shown = next((line for line in lines if line.startswith("a wider terminal")), "shows: ;")
    assert shown.split("shows: ")[1].split(";")[0] == ", ".join(left_out)


def test_versions_scored_by_different_extractors_name_them(record: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {EVIDENCE_TAG: json.dumps({"fid": 3.25, "conditions": {"extractor": "inception"}})}
    tracking.client().create_model_version("digits", "file:///nowhere", tags=tags)
    monkeypatch.setenv("COLUMNS", "80")
    lines = output("status")
    assert next(line for line in lines if line.startswith("4 ")).split()[-2:] == ["3.25", "inception"]
    assert sum("classifier" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("columns", "headings"),
    [("80", ["#", "when", "move", "from", "to", "by", "why"]), ("60", ["#", "when", "move", "from", "to", "why"])],
)
def test_history_breaks_only_reasons(
    record: None, columns: str, headings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = [line for line in output("history") if not line.startswith("a wider terminal")]
    assert lines[0].split() == headings
    assert max(map(len, lines)) <= int(columns)
    place, second = lines[0].index("why"), next(index for index, line in enumerate(lines) if line.startswith("2 "))
    assert " ".join(line[place:].strip() for line in lines[second:]) == WHY
    move = lines[0].index("move")
    assert [line[move:].split()[:3] for line in lines if line[:1].isdigit()] == [
        ["promote", "-", "1"], ["promote", "1", "2"],
    ]  # fmt: skip


def test_everything_as_json(record: None) -> None:
    found = json.loads("\n".join(output("status", "--json")))
    assert (found["model"], found["aliases"]) == ("digits", {"champion": 2, "candidate": 2, "previous": 1})
    newest, champion, _ = found["versions"]
    assert (newest["version"], newest["verdict"], newest["loads"]) == (3, "inconclusive", "yes")
    assert (champion["extractor"], champion["count"]) == ("classifier", 2000)
    assert champion["scores"] == {"fid": 30.12345, "inception_score": 7.654321}
    moves = json.loads("\n".join(output("history", "--json")))["moves"]
    assert [(each["origin"], each["target"], each["outcome"]) for each in moves] == [(None, 1, "done"), (1, 2, "done")]
    assert moves[1]["why"] == WHY


def test_a_record_without_versions_is_valid_json(project: Path) -> None:
    assert json.loads("\n".join(output("status", "--json")))["versions"] == []
    assert json.loads("\n".join(output("history", "--json"))) == {"model": "digits", "moves": []}


def test_doctor_as_json_has_the_same_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    findings = json.loads(done.stdout)
    assert {"state", "subject", "text"} == set(findings[0])
    assert any(each["state"] == "missing" and "data.dvc" in each["text"] for each in findings)


def test_version_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output.split()[0]) == (0, "ddpm")
    assert done.output.split()[1][0].isdigit()
