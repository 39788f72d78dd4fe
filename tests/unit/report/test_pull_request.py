"""The report as Markdown: the page's own numbers, and nobody's markup."""

import re

import pytest

from ddpm.evaluation.score_record import ScoreRecord
from ddpm.evaluation.score_table import ScoreRow
from ddpm.report import facts, pull_request, run_summary
from ddpm.report.facts import Training
from flows import summary
from tests.support import made_reports as made
from tests.support.made_reports import METRICS, composed

HOSTILE = "<img src=x> [a](http://x) | `b` @all\n# c"
TRAINED = Training("digits", 761_000, 8_000)


def markdown(**known):
    return pull_request.write(composed(summary=made.summary(**known), training=TRAINED))


def test_it_has_verdict_facts_scores_data_and_commands():
    text = markdown(date="2026-11-28T01:59:10+00:00", machine={"ddpm.device": "cpu", "ddpm.torch": "2.9"})
    assert text.startswith("## digits version 3: promoted: the new champion\n")
    for words in (
        "confidence interval -0.863 to -0.737", "Date: 2026-11-28 01:59 UTC", "4,000 training",
        "761 million parameters", "8,000 images seen, 2.00 epochs", "cpu, torch 2.9", "not been compared",
        "| FID (classifier, 2,000 images) ↓ | **3.21** | 4.00 | -19.8% | 0.803 | at most 10 | yes |",
        "`ddpm sample --model models:/digits/3`", "| count | `2000` |",
    ):  # fmt: skip
        assert words in text


def test_text_of_others_is_never_markup():
    registered = {"name": HOSTILE, "version": 3, "aliases": [], "champion": 3, "run_id": HOSTILE}
    verdict = dict(made.summary().verdict) | {"reasons": [HOSTILE]}
    text = markdown(registered=registered, verdict=verdict, heading=HOSTILE, machine={"ddpm.cpu": HOSTILE})
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\](?:\(|\[)", text)
    assert "\n# c" not in text
    rows = [line for line in text.splitlines() if line.startswith("| Sample from it")]
    assert rows
    assert "`b`" not in text.replace("\\`", "")


def test_only_web_addresses_become_links():
    text = markdown(
        runs={"MLflow run a1b2": "http://127.0.0.1:5000/#/runs/a1 b)", "Prefect run 7": "javascript:alert(1)"}
    )
    assert "[a1b2](<http://127.0.0.1:5000/#/runs/a1%20b)>)" in text
    assert "javascript" not in text
    assert "- Prefect run: 7" in text


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("class_accuracy", 0.99249, "99.2%"), ("memorisation_ratio", 1.10689, "1.11"), ("fid", 3.2149, "3.21")],
)
def test_a_score_is_the_same_on_page_terminal_and_in_markdown(key, value, shown):
    metrics = METRICS | {key: value}
    page = composed(metrics, summary=made.summary(metrics))
    kind = next(line for line in page.scores.lines if line.value == shown)
    row = next(each for each in made.summary(metrics).verdict["rows"] if each["candidate"] == value)
    terminal = summary.number(ScoreRow(**row), row["candidate"])
    assert terminal == kind.value == next(number for _, number, _ in page.headline.figures if number == shown)
    assert f"**{shown}**" in pull_request.write(page)
    assert summary.number(ScoreRow(**row), row["floor"]) in {kind.real, "-"}


def test_scores_of_the_comparison_are_the_only_ones_in_the_table():
    judged = METRICS | {"fid": 3.4}
    page = composed(summary=made.summary(judged, judged=judged))
    assert page.scores.lines[0].value == page.headline.figures[0][1] == "3.40"
    assert any("FID (classifier, 2,000 images) is 3.21" in note for note in page.scores.notes)


def test_a_summary_without_the_newer_facts_is_read(tmp_path):
    path = tmp_path / "facts.json"
    run_summary.write(made.summary(), path)
    old = {key: value for key, value in run_summary.files.read_json(path).items() if key not in {"date", "runs"}}
    run_summary.files.write_json(path, old)
    found = run_summary.read(path)
    assert found is not None
    assert found.date == ""


def test_without_outputs_of_training_the_facts_are_fewer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert facts.read(tmp_path) == Training("", 0, 0)
    names = [fact.name for fact in facts.rows(Training(), made.STATISTICS, made.CONFIG, None)]
    assert names == ["Data set"]


def test_real_images_have_one_value():
    record = ScoreRecord.from_json(METRICS)
    assert (record.real("fid"), record.real("memorisation_ratio"), record.real("class_accuracy")) == (0.803, 1.0, 0.99)
