"""The output of a flow, on a terminal and in a log."""

import io
import logging
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ddpm.evaluation.gate import decide
from ddpm.evaluation.score_record import ScoreRecord, with_extractor
from flows import console, summary
from flows.dvc import StageResult, StageRun

LINE = "train: 12,000 of 57,000 images (21%), 190/s, 3m 57s left, loss 0.0312"


def terminal(
    monkeypatch: pytest.MonkeyPatch, *, width: int = 80, real: bool = True
) -> tuple[console.Terminal, io.StringIO]:
    made, seen = console.Terminal(), io.StringIO()
    monkeypatch.setattr(made, "console", Console(file=seen, force_terminal=real, width=width, soft_wrap=True))
    return made, seen


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text)


def test_progress_is_one_moving_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = terminal(monkeypatch)
    made.line("train", LINE)
    made.line("train", LINE.replace("21%", "50%"))
    made.line("train", "done")
    text = plain(seen.getvalue())
    assert text.count("\n") == 1
    assert "━━╌╌╌╌╌╌╌╌ 12,000 of 57,000 images (21%), 190/s, 3m 57s left" in text
    assert text.splitlines()[-1].endswith("train     done")


def test_progress_is_plain_lines_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = terminal(monkeypatch, real=False)
    made.line("train", LINE)
    assert seen.getvalue() == "train     12,000 of 57,000 images (21%), 190/s, 3m 57s left, loss 0.0312\n"


@pytest.mark.parametrize("width", [20, 50, 70, 80, 200])
def test_a_bar_never_wraps(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    made, seen = terminal(monkeypatch, width=width)
    made.line("train", LINE)
    assert len(plain(seen.getvalue()).strip("\r")) < max(width, 22)


def test_whole_parts_are_left_out() -> None:
    assert console.fitted("a (1%), 5/s, 3s left, loss 0.1", 22) == "a (1%), 5/s, 3s left"


def test_progress_reaches_the_log_every_ten_seconds_and_other_lines_at_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test")
    caplog.set_level(logging.INFO, "test")
    log = console.Reporter().logger("train", logger)
    for text in (LINE, LINE, "a", LINE, "b"):
        log(text)
    assert caplog.messages == [LINE, "a", "b"]


def test_summary_fits_a_screen() -> None:
    scores = {"fid": 31.25, "fid_floor": 9.0, "inception_score": 5.0, "class_share_min": 0.08, "conditions": {}}
    verdict = decide(scores, None, max_fid=20.0, min_inception_score=4.0)
    made = summary.RegisteredVersion("digits", 3, True, ("candidate",), 2, "abc")
    stages = [StageRun("prepare", StageResult.CACHED, 0.4), StageRun("train", StageResult.RAN, 301.0)]
    seen = io.StringIO()
    summary.show(summary.PipelineResult(stages, verdict, made, scores, 330.0), Console(file=seen, width=100))
    text = seen.getvalue()
    assert len(text.splitlines()) <= 24
    for words in ("digits version 3", "not promoted: outside the limits", "31.2", "max 20", "no", "train 5m 01s",
                  "models:/digits/2 stays", "5m 30s in all", "out/report/index.html"):  # fmt: skip
        assert words in text
    assert "| FID | 31.2 | - | 9.00 | at most 20 | **no** |" in summary.to_markdown(
        summary.PipelineResult(stages, verdict, made, scores, 330.0)
    )


@pytest.mark.parametrize(("width", "extractor"), [(80, "efficientnet-lite0"), (60, "classifier")])
def test_scores_take_one_line_each_on_a_narrow_terminal(width: int, extractor: str) -> None:
    conditions = {"extractor": extractor, "count": 2000}
    scores = {
        "fid": 3.214, "kid": 0.01234, "recall": 0.7412, "memorisation_ratio": 0.9812, "inception_score": 9.123,
        "class_share_min": 0.0812, "conditions": conditions | {"weights_sha256": "a"},
    }  # fmt: skip
    champion = scores | {"fid": 4.111, "conditions": conditions | {"weights_sha256": "b"}}
    verdict = decide(scores, champion, max_fid=10.0, max_fid_ratio=20.0, min_class_share=0.02)
    rows = tuple(replace(row, name=with_extractor(row.name, conditions)) for row in verdict.rows)
    seen = io.StringIO()
    Console(file=seen, width=width).print(
        summary.score_table(rows, ScoreRecord.from_json(scores), narrow=width < summary.NARROW)
    )
    head, *lines = seen.getvalue().splitlines()
    if not lines[0].startswith("FID"):  # the heading wraps, and nothing else does
        head = f"{head} {lines.pop(0)}"
    assert sorted(head.split()) == sorted(
        ["score", f"({extractor},", "2,000", "images)", "model", "champion", "real", "limit", "ok"]
    )
    assert [line.split("  ")[0].strip() for line in lines] == [
        "FID", "KID", "recall", "memorisation ratio", "FID ratio", "Inception Score", "smallest class share",
    ]  # fmt: skip
    assert lines[0].split() == ["FID", "3.21", "4.11", "-", "max", "10", "yes"]
    assert all(len(line) <= width for line in seen.getvalue().splitlines())


def test_summary_has_one_line_about_the_data_when_there_was_something_to_compare() -> None:
    verdict = decide({"fid": 31.25, "conditions": {}}, None)
    made = summary.RegisteredVersion("digits", 3, True, ("candidate",), 2, "abc")
    report = summary.PipelineResult(
        [StageRun("train", StageResult.RAN, 3.0)], verdict, made, {}, drift={"words": "40 new; all alike"}
    )
    seen = io.StringIO()
    summary.show(report, Console(file=seen, width=100))
    assert [line.split() for line in seen.getvalue().splitlines() if "Data" in line] == [
        ["Data", "40", "new;", "all", "alike"]
    ]
    assert "- data: 40 new; all alike" in summary.to_markdown(report)


def test_summary_names_the_files_to_commit() -> None:
    verdict = decide({"fid": 31.25, "conditions": {}}, None)
    made = summary.RegisteredVersion("digits", 3, True, ("candidate",), 2, "abc")
    for files, said in ((("data.dvc", "dvc.lock"), True), ((), False)):
        seen = io.StringIO()
        report = summary.PipelineResult([StageRun("train", StageResult.RAN, 3.0)], verdict, made, {}, uncommitted=files)
        summary.show(report, Console(file=seen, width=200))
        assert ("git add data.dvc dvc.lock && git commit" in seen.getvalue()) is said
        assert ("dvc metrics diff" in seen.getvalue()) is said


def test_summary_ends_with_warnings() -> None:
    made = summary.RegisteredVersion("digits", 3, True, ("candidate",), 2, "abc")
    warning = "the notification was not delivered: the receiver answered 500"
    report = summary.PipelineResult([], decide({"fid": 31.25, "conditions": {}}, None), made, {}, warnings=[warning])
    seen = io.StringIO()
    summary.show(report, Console(file=seen, width=200))
    assert seen.getvalue().rstrip().endswith(warning)
    assert f"- warning: {warning}" in summary.to_markdown(report)


def test_a_first_champion_without_limits_is_not_green_and_a_run_without_champion_is_named() -> None:
    """A verdict without limits is not shown as success; without a champion, the command samples from this model."""
    scores = {"fid": 900.0, "conditions": {}}
    unlimited, limited = decide(scores, None), decide(scores, None, max_fid=10.0)
    assert summary.heading(unlimited) == ("yellow", "promoted: the first champion; no limits are set")
    assert summary.heading(decide(scores, None, max_fid=1000.0)) == ("green", "promoted: the first champion")
    made = summary.RegisteredVersion("digits", 1, True, ("candidate",), None, "abc")
    report = summary.PipelineResult([StageRun("train", StageResult.RAN, 3.0)], limited, made, scores)
    seen = io.StringIO()
    summary.show(report, Console(file=seen, width=100))
    text = " ".join(seen.getvalue().split())
    assert "digits version 1 not promoted: outside the limits" in text
    assert "Champion none: nothing has been promoted yet" in text
    assert "ddpm sample --model models:/digits/1 " in text
    assert "@champion" not in text
    report.verdict = unlimited
    assert "no limits are set" in summary.to_markdown(report).splitlines()[0]
