"""Differences are measured, and judged only where a spread is known; an environment must match the lock file."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm.cli.reproduce import sentences
from ddpm.common import files
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.metrics import frechet
from ddpm.metrics.record import seed_blocks
from ddpm.registry.lineage import Lineage
from ddpm.reproduce import Result, compare, environment
from ddpm.reproduce.checkout import ReproduceError


def test_the_distance_of_each_tensor_and_of_all(tmp_path: Path) -> None:
    theirs = {"a": torch.tensor([1.0, -4.0]), "b": torch.tensor([0.1]), "same": torch.ones(2)}
    ours = {"a": torch.tensor([1.0, -4.5]), "b": torch.tensor([0.2]), "same": torch.ones(2)}
    for name, tensors in (("ours", ours), ("theirs", theirs)):
        files.write_tensors(tmp_path / name, tensors)
    found = compare.weights(tmp_path / "ours", tmp_path / "theirs")
    assert list(found) == ["a", "b", "same"]
    assert (found["a"].absolute, found["a"].relative) == (0.5, 0.125)
    assert found["b"].relative == pytest.approx(1.0)
    assert found["same"] == compare.Distance(0.0, 0.0)
    assert compare.overall(found).absolute == 0.5
    assert compare.overall(found).relative == pytest.approx(1.0)
    files.write_tensors(tmp_path / "ours", {**ours, "a": torch.ones(3)})
    with pytest.raises(ValueError, match="the networks differ: a"):
        compare.weights(tmp_path / "ours", tmp_path / "theirs")


def record(fid: float, inception: float, **conditions: object) -> ScoreRecord:
    spread = {"fid": {"mean": 30.0, "std": 6.0}}
    metrics = {"fid": fid, "recall": 0.5, "inception_score": inception, "inception_score_std": 0.3, "spread": spread,
               "conditions": {"steps": 4, "blocks": 4, "inception_score_splits": 9, **conditions}}  # fmt: skip
    return ScoreRecord.from_json(metrics)


@pytest.mark.parametrize(("fid", "inception", "agree"), [(38.0, 9.0, True), (39.0, 9.0, False), (30.0, 9.4, False)])
def test_scores_agree_within_two_deviations_of_their_difference(fid: float, inception: float, agree: bool) -> None:
    """Four blocks with a deviation of 6 give 2 sqrt(2) 6 / sqrt(4) = 8.49; nine parts with 0.3 give 0.283."""
    found = tuple(compare.scores(record(30.0, 9.0), record(fid, inception)))
    assert {each.name for each in found} == {"fid", "recall", "inception_score"}
    result = Result(Lineage("run", {}), Path(), False, {}, {}, found)
    assert result.agree is agree
    assert result.good is agree
    words = "a spread agree within" if agree else "do not agree within"
    assert words in "\n".join(sentences(result))


def test_the_deviation_is_that_of_the_score_not_of_a_block() -> None:
    """Two samples of one distribution agree, and one whose distance is six deviations higher does not."""
    random = np.random.default_rng(0)
    scale = np.geomspace(1, 0.2, 32)
    reference = frechet.moments(random.normal(size=(4000, 32)) * scale)

    def measured(shift: float) -> ScoreRecord:
        x = random.normal(size=(2000, 32)) * scale * 1.1 + shift * scale
        values = [frechet.frechet_to(x[block], reference) for block in seed_blocks(2000, 8)]
        spread = {"fid": {"std": float(np.std(values, ddof=1))}}
        fid = frechet.frechet_to(x, reference)
        return ScoreRecord.from_json({"fid": fid, "spread": spread, "blocks": {"count": 8}, "conditions": {}})

    same = [compare.scores(measured(0.15), measured(0.15))[0] for _ in range(40)]
    true = np.std([each.recorded - each.rebuilt for each in same])
    assert 0.7 * true < np.mean([float(each.spread or 0) for each in same]) < 1.6 * true
    assert np.mean([each.agrees for each in same]) > 0.85
    worse = [compare.scores(measured(0.15), measured(0.22))[0] for _ in range(10)]
    assert np.mean([each.rebuilt - each.recorded for each in worse]) > 6 * true
    assert not any(each.agrees for each in worse)


def test_no_spread_is_no_agreement() -> None:
    records = [ScoreRecord.from_json({"fid": fid, "evaluations": 10}) for fid in (30.0, 30.1)]
    found = tuple(compare.scores(*records))
    assert {each.name for each in found} == {"fid", "evaluations"}
    result = Result(Lineage("run", {}), Path(), False, {}, {}, found)
    assert result.agree is None
    assert not result.good
    assert "cannot be compared" in sentences(result)[-1]


def test_scores_of_other_conditions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="measured under different conditions: steps"):
        compare.scores(record(30.0, 9.0), record(30.0, 9.0, steps=5))


def test_the_present_environment_has_to_be_that_of_the_lock_file(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# made\nnumpy=={metadata.version('numpy')}\nnothing==1 ; sys_platform == 'none'\n")
    assert environment.present(sys.executable, tmp_path) == sys.executable
    lock.write_text("numpy==0.1\nno-such-package==2\n")
    with pytest.raises(ReproduceError, match=r"not 0\.1; no-such-package missing, not 2"):
        environment.present(sys.executable, tmp_path)
    with pytest.raises(ReproduceError, match="cannot be run"):
        environment.present(str(tmp_path / "nowhere"), tmp_path)


def test_a_fresh_environment_is_made_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("# nothing\n")
    python = environment.new_environment(tmp_path, "not recorded")
    code = "import json, sys; print(json.dumps([sys.prefix, sys.version_info[:2]]))"
    prefix, version = json.loads(subprocess.run([python, "-c", code], capture_output=True, check=True).stdout)
    assert Path(prefix) == tmp_path / ".venv"
    assert tuple(version) == sys.version_info[:2]
    with pytest.raises(ReproduceError, match=r"trained with Python 3\.2\.1"):
        environment.new_environment(tmp_path, "3.2.1")
