"""The parts of the page that need more than scores, and which of them are left out when."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm.common import files
from ddpm.common.units import score_number
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.imaging import sheets
from ddpm.report import drift, page, picture, pictures, run_summary, scores
from tests.support import made_reports as made
from tests.support.made_reports import CHAMPION, METRICS, MORE, composed

FID = "FID (classifier, 2,000 images)"


def html(**known):
    return page.render(composed(**known))


def test_the_verdict_and_its_reasons_come_first():
    top = composed(summary=made.summary()).headline
    assert (top.title, top.verdict, top.tone) == ("digits version 3", "Promoted: the new champion", "good")
    assert top.reasons == (
        "FID 3.21 against the champion's 4.00: 19.8% lower, at least 2.0% required (promote.min_improvement: "
        "another training seed of the same recipe also changes FID); over 8 paired seed blocks the "
        "difference is -0.8, 95% confidence interval -0.863 to -0.737."
    )
    text = html(summary=made.summary())
    assert text.index("Promoted: the new champion") < text.index('id="scores"')


def test_the_champion_stands_beside_the_candidate():
    found = composed(summary=made.summary())
    first = made.row(found, FID)
    values = (first.value, first.champion, first.change, first.real, first.limit, first.kept)
    assert values == ("3.21", "4.00", "-19.8%", "0.803", "at most 10", "yes")
    ratio = made.row(found, "Memorisation ratio")
    assert (ratio.value, ratio.real, ratio.limit, ratio.kept) == ("0.980", "1.00", "at least 0.93", "yes")


def test_without_another_champion_there_is_no_column_for_it():
    alone = composed(summary=made.summary(champion=None))
    assert (alone.scores.champion, alone.scores.lines[0].change) == ("", "")
    itself = composed(summary=made.summary(champion=METRICS))
    assert "is the champion itself" in itself.scores.notes[0]
    told = html(summary=made.summary(champion=METRICS, heading="is the champion already: nothing to promote"))
    assert "It is the champion already" in told
    assert "Limit" in told
    assert not any(line.champion for line in itself.scores.lines)


def test_without_a_run_the_page_says_that_nothing_is_judged():
    assert "Not judged" in html()
    assert "No flow run has judged these scores yet" in html()
    assert "The last verdict was about other scores" in html(outdated=True)
    assert "Champion" not in html()
    assert "Times are recorded by the flow" in html()


def test_a_score_has_its_spread_floors_and_direction():
    records = map(ScoreRecord.from_json, (METRICS | MORE, CHAMPION))
    table = {line.name: line for line in scores.table(*records)}
    fid = table[FID]
    assert (fid.arrow, fid.better, fid.value) == ("↓", "lower is better", "3.21")
    assert fid.spread == "± 0.12"
    assert (fid.real, list(fid.cheats)) == ("1.41", ["310", "0.410"])
    assert table["KID"].spread == "± 0.0031 standard error"
    assert table["Precision"].spread == "± 0.011; 0.900 for k = 5"
    assert table["Recall"].arrow == "↑"
    assert "Coverage" not in table


def test_what_is_no_number_is_not_shown_as_one():
    assert score_number(None) == score_number("high") == score_number(True) == ""
    found = (score_number(0.5), score_number(1234.5), score_number(12), score_number(0.25, share=True), score_number(0))
    assert found == ("0.500", "1,234", "12", "25.0%", "0")


def test_copies_are_told_in_words():
    text = html(metrics=METRICS | MORE)
    assert "The samples contain copies of training images" in text
    assert "3 exact copies of training images; 21 near copies (nearer than 0.300), 20 expected for equally many" in text
    assert "p = 0.25" in text


def test_drift_is_told_with_its_tests():
    text = html(drifted=made.DRIFT)
    for words in (
        "Compared with the data of version 2", "Images: new 230, removed 30, kept 4,770.", "0: 500 → 510.",
        "brightness", "4.00e-09", "mean 40.1",
        "Distance in feature space: 1.40; 0.900 between samples of the same data.",
    ):  # fmt: skip
        assert words in text
    assert "have not been compared" in html()


def test_the_newest_finding_about_these_data_is_taken(tmp_path: Path):
    for name, data, when in (("a", "x", 30), ("b", "y", 10), ("c", "y", 20)):
        files.write_json(tmp_path / f"{name}.json", {"data_sha256": data, "words": name})
        os.utime(tmp_path / f"{name}.json", (when, when))
    assert (drift.find("y", tmp_path) or {})["words"] == "c"
    assert drift.find("z", tmp_path) is None


def test_lineage_names_hashes_and_how_to_make_the_model_again():
    found = composed(summary=made.summary())
    assert found.lineage["commit of the code"] == "5e" * 20
    assert found.lineage["weights SHA-256"] == "77" * 32
    assert found.commands[0][1] == f"git checkout {'5e' * 20} && make run"
    assert not found.caveat
    dirty = made.summary(lineage={"ddpm.git_sha": "5e" * 20, "ddpm.git_dirty": "true"})
    assert "commit first" in composed(summary=dirty).caveat


def test_times_are_those_of_this_run_and_of_the_run_that_made_the_files():
    found = composed(summary=made.summary()).times
    assert found is not None
    prepare, train = found.rows
    assert (prepare.did, prepare.took, prepare.cpu) == ("cached", "–", "–")
    assert (train.took, train.cpu, found.total.cpu, found.gpu) == ("5m 00s", "9m 00s", "9m 00s", False)
    assert "GPU time" not in html(summary=made.summary())
    held = made.TOOK | {"gpu_seconds": 300.0}
    stages = [{"stage": "train", "did": "Completed", **held, "made": held}]
    assert "GPU time" in html(summary=made.summary(stages=stages))


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the outputs of the stages that the page needs."""
    monkeypatch.chdir(tmp_path)
    files.write_json(page.METRICS, METRICS)
    files.write_json(page.STATISTICS, made.STATISTICS)
    files.write_json(page.CONFIG, made.CONFIG)
    picture.save(page.PICTURES, made.PICTURES)
    return tmp_path


def test_facts_of_other_scores_give_no_verdict(outputs: Path):
    run_summary.write(made.summary(scores_sha256=files.sha256_file(page.METRICS)))
    assert page.make(run_summary.read())
    assert "Promoted" in page.PAGE.read_text()
    files.write_json(page.METRICS, METRICS | {"fid": 3.3})
    assert not page.make(run_summary.read())
    assert "The last verdict was about other scores" in page.PAGE.read_text()


def test_what_is_missing_or_of_another_version_is_named(outputs: Path):
    files.write_json(run_summary.PATH, {"verdict": "better"})
    with pytest.raises(ValueError, match="from another version"):
        run_summary.read()
    files.write_json(page.PICTURES / picture.WORDS, [{"name": "samples", "heading": "?"}])
    with pytest.raises(ValueError, match="dvc repro --force evaluate"):
        page.make(None)
    (page.PICTURES / picture.WORDS).unlink()
    with pytest.raises(FileNotFoundError, match="dvc repro evaluate"):
        page.make(None)
    page.METRICS.unlink()
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing"):
        page.make(None)


def test_the_best_are_left_and_the_worst_right():
    images = np.arange(40, 46, dtype=np.uint8)[:, None, None, None].repeat(42, 1).repeat(42, 2)
    labels, values = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.3])
    png = pictures.extremes(images, labels, ["a", "b"], values, ("best", "worst"), columns=2)
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    side = 84 + sheets.GAP
    left = sheet.shape[1] - 4 * side + sheets.GAP - sheets.GROUP_GAP
    across = [left + i * side + (sheets.GROUP_GAP if i > 1 else 0) + 42 for i in range(4)]
    down = [sheet.shape[0] - 42 - side, sheet.shape[0] - 42]
    shown = [[int(sheet[y, x, 0]) if sheet[y, x, 3] else None for x in across] for y in down]
    assert shown == [[41, 43, 42, 40], [45, None, 44, None]]
