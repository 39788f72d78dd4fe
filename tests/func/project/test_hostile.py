"""Untrusted text in every field, against every output: it is never interpreted."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app, doctor, edit, model_tables
from ddpm.cli.findings import Finding
from ddpm.common.markdown import escape
from ddpm.data import statistics, survey
from ddpm.data.errors import listing
from ddpm.evaluation.gate import decide
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.registry.audit import PREFIX, experiment_name
from ddpm.registry.versions import CONTENT_TAG, EVIDENCE_TAG, VERIFIED_TAG
from ddpm.report import model_comparison, page
from flows import console, summary
from flows.dvc import StageResult, StageRun
from flows.tasks import artifacts
from tests.support import hostile
from tests.support import made_reports as made
from tests.support.hostile import TEXT

NAME = "digits"


RUN_TAGS = (*tracking.LINEAGE_TAGS, *tracking.MACHINE_TAGS, "ddpm.digest", "ddpm.commit")


LINKS = ("<ddpm.git_sha>", "<ddpm.digest>", "<reasons>", "<weights>", "<judged>")


def planted(field: str) -> str:
    """Hostile text that can be found again."""
    return f"<{field}> {TEXT}"


@pytest.fixture
def record(project: Path) -> str:
    """A registry in which every tag is hostile, and the trail too; the id of the version's run."""
    connection = tracking.client()
    run = connection.create_run(
        connection.create_experiment("x"),
        tags={
            key: planted(key) for key in (*tracking.LINEAGE_TAGS, *tracking.MACHINE_TAGS, "ddpm.digest", "ddpm.commit")
        },
    )
    connection.create_registered_model(NAME)
    tags = {
        **{key: planted(key) for key in tracking.LINEAGE_TAGS}, CONTENT_TAG: planted("content"), VERIFIED_TAG: "{}",
        EVIDENCE_TAG: json.dumps({"fid": 1.0}), "ddpm.verdict": planted("verdict"), "ddpm.reasons": planted("reasons"),
        "ddpm.judged": planted("judged"), "ddpm.weights": planted("weights"), "ddpm.withdrawn": planted("withdrawn"),
        "ddpm.approval": json.dumps({"version": 1, "champion": None, "state": "approved", "asked": TEXT, "until": TEXT,
                                     "runs": [TEXT], "who": TEXT, "when": TEXT, "why": TEXT}),
    }  # fmt: skip
    connection.create_model_version(NAME, planted("source"), run.info.run_id, tags=tags)
    facts = {"sequence": "1", "kind": "promote", "from": "", "to": "1", "who": planted("who"), "why": planted("why")}
    trail = connection.create_experiment(experiment_name(NAME))
    connection.create_run(trail, tags={f"{PREFIX}{key}": value for key, value in facts.items()})
    return str(run.info.run_id)


@pytest.mark.parametrize(("command", "shown"), [
    (("history",), ("<who>", "<why>")),
    (("status",), ("<verdict>",)),
    (("lineage", "models:/digits/1"), LINKS),
    (("lineage", "models:/digits/1", "--json"), LINKS),
    (("approve", "1", "--why", "x"), ("approved by",)),
    (("rollback", "--to", "1"), ("digits",)),
    (("export", "--model", "models:/digits/1", "--to", "diffusers", "new"), ("ddpm.content",)),
    (("sample", "--model", "models:/digits/1"), ("ddpm.content",)),
    (("sample", "--model", f"models:/{hostile.PARTS['an escape sequence']}"), ("is not a model address",)),
    (("reproduce", "models:/digits/1"), ("<ddpm.patch>",)),
])  # fmt: skip
def test_commands_print_a_hostile_registry(record: str, command: tuple[str, ...], shown: tuple[str, ...]) -> None:
    name = ["--name", NAME] if command[0] in {"history", "status", "approve", "rollback"} else []
    done = CliRunner().invoke(app, [*command, *name], env={"COLUMNS": "4000"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    hostile.lines(done.output)
    for words in shown:
        assert words in done.output, done.output
    assert not list(Path().resolve().parent.rglob("escaped*"))


def rich_text(thing: object) -> str:
    seen = io.StringIO()
    Console(file=seen, width=4000).print(thing)
    return seen.getvalue()


def report(text: str) -> summary.PipelineResult:
    """Make a report with a hostile text in each of its fields."""
    scores = {"fid": 31.25, "fid_floor": 9.0, "inception_score": 5.0, "class_share_min": 0.08, "conditions": {}}
    verdict = decide(scores, None, max_fid=20.0)
    verdict = replace(verdict, reasons=(text,), rows=tuple(replace(row, name=text) for row in verdict.rows))
    made_of = summary.RegisteredVersion(text, 3, True, (text,), 2, text)
    return summary.PipelineResult(
        [StageRun(text, StageResult.RAN, 3.0)], verdict, made_of, scores, drift={"words": text}
    )


def shown_summary(text: str) -> str:
    seen = io.StringIO()
    summary.show(report(text), Console(file=seen, width=4000), prefect=text)
    return seen.getvalue()


def shown_line(text: str) -> str:
    terminal, seen = console.Terminal(), io.StringIO()
    terminal.console = Console(file=seen, width=4000, soft_wrap=True)
    terminal.line("train", text)
    terminal.line("x", f"{text} (50%), 1/s, 3s left")
    return seen.getvalue()


def survey_of(text: str) -> str:
    found = survey.Survey(2, ((text, text),), {text: 2}, 0, {(8, 8): 2}, {"L": 2}, {text: 2}, False)
    return rich_lines(survey.lines(found))


def rich_lines(lines: list[str]) -> str:
    from ddpm.common import terminal

    seen = io.StringIO()
    terminal.echo(*lines, file=seen)
    return seen.getvalue()


def stated(text: str) -> str:
    found = {
        "count": 1, "train": 1, "heldout": 0, "classes": {text: {"train": 1, "heldout": 0}}, "sizes": {"8x8": 1},
        "modes": {"L": 1}, "formats": {text: 1}, "near": 0, "warnings": [text],
        "duplicates": {"exact": 0, "near": 0, "near_complete": True, "exact_across_classes": 0, "near_across_split": 0},
    }  # fmt: skip
    return rich_lines(statistics.lines(found))


def moves(text: str) -> str:
    move = registry.Move(text, 1, "promote", None, 1, text, datetime.now(UTC), text, "done", text)
    seen = io.StringIO()
    with contextlib.redirect_stdout(seen), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "4000")
        model_tables.show_moves([move])
    return seen.getvalue() + rich_lines([str(move)])


@pytest.mark.parametrize("output", [shown_summary, shown_line, survey_of, stated, moves, lambda text: listing([text])])
def test_terminals_show_hostile_text_as_it_is(output: Callable[[str], str]) -> None:
    text = output(TEXT)
    hostile.lines(text)
    assert "[/red] [bold]loud[/bold] :warning:" in text
    assert "\\x1b[2J" in text


def test_changed_parameters_are_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "4000")
    edit.table([(TEXT, TEXT, TEXT)])
    text = capsys.readouterr().out
    hostile.lines(text)
    assert text.count("[/red] [bold]loud[/bold] :warning:") == 3


def test_the_doctor_prints_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> Iterator[Finding]:
        yield Finding("missing", "params", TEXT)

    monkeypatch.setattr(doctor, "CHECKS", (check,))
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "4000"})
    hostile.lines(done.output)
    assert "[/red] [bold]loud[/bold] :warning:" in done.output


def test_what_a_server_answers_is_text(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    def fails(name: str) -> None:
        raise MlflowException(TEXT)

    monkeypatch.setattr(registry, "history", fails)
    done = CliRunner().invoke(app, ["history", "--name", NAME])
    assert done.exit_code == 1
    hostile.lines(done.output)


def test_logs_and_their_tracebacks_are_text(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    try:
        raise RuntimeError(TEXT)
    except RuntimeError:
        logging.getLogger("prefect.flow_runs").exception("it failed: %s", TEXT)
    hostile.lines(caplog.text)
    assert "[/red] [bold]loud" in caplog.text


def test_markdown_on_the_page_of_prefect_is_text() -> None:
    for of in (summary.to_markdown, artifacts.links):
        hostile.markdown(of(report(TEXT)), len(of(report("plain")).splitlines()))
    assert escape("1. a") == "1\\. a"
    assert escape("- a_b # c") == "\\- a\\_b \\# c"


def test_pages_show_hostile_text_as_it_is() -> None:
    metrics = {**made.METRICS, "class_histogram": {TEXT: 1.0},
               "conditions": {**made.METRICS["conditions"], "guide": TEXT, TEXT: TEXT}}  # fmt: skip
    facts = made.summary(
        heading=TEXT, hardware=TEXT, lineage={"ddpm.git_sha": TEXT, "ddpm.data_hash": TEXT},
        registered={"name": TEXT, "version": 3, "aliases": [TEXT], "champion": 3, "run_id": TEXT},
    )  # fmt: skip
    facts.verdict["reasons"] = [TEXT]
    drift = {**made.DRIFT, "classes": {TEXT: [1, 2]}, "words": TEXT, "notes": [TEXT]}
    drawn = [replace(each, title=TEXT, caption=TEXT, alt=TEXT) for each in made.PICTURES]
    text = page.render(
        made.composed(metrics, config={"digest": TEXT, TEXT: TEXT}, pictures=drawn, summary=facts, drifted=drift)
    )
    hostile.html(text)
    assert "[/red] [bold]loud" in text
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    record = ScoreRecord.from_json(metrics)
    context = model_comparison.Context(TEXT, (TEXT, TEXT), [record, None], {TEXT: TEXT}, [(TEXT, TEXT)])
    drawn_alike = model_comparison.Drawn((TEXT, TEXT), (pixels, pixels), np.zeros(2, np.int64), (TEXT,))
    hostile.html(model_comparison.page(drawn_alike, context))
