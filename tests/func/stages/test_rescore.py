"""Candidate and champion scored together, for the gate."""

from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.evaluation import gate
from ddpm.stages import evaluate, rescore, sample
from tests.support import tiny
from tests.support.evaluated_project import CHANGES, write_params


def test_candidate_and_champion_are_scored_by_one_process_as_the_stage_does(evaluated: Path) -> None:
    """A champion of the candidate's own weights has the candidate's own scores: those of the stage for these seeds."""
    rescore.rescore(Path("out/train/model"), Path("champion/scores.json"))
    scores = files.read_json(Path("champion/scores.json"))
    assert scores["candidate"] == scores["champion"]
    seed = scores["candidate"]["conditions"]["seed"]
    assert seed == rescore.comparison_seed(*[files.sha256_file(Path("out/train/model/weights.safetensors"))] * 2)
    write_params(CHANGES | {"sample": CHANGES["sample"] | {"seed": seed}})
    sample.main()
    evaluate.main()
    assert files.read_json(evaluate.METRICS) == scores["candidate"]


def test_each_pair_of_models_is_compared_by_images_of_its_own() -> None:
    """Otherwise a champion would be selected on one set of seeds. The order of the two models does not matter."""
    assert rescore.comparison_seed("aa", "bb") == rescore.comparison_seed("bb", "aa")
    seeds = [rescore.comparison_seed(f"{number:064x}", "bb") for number in range(50)]
    assert min(abs(one - other) for one in seeds for other in seeds if one != other) > 10_000
    assert len(set(seeds)) == 50


def test_another_champion_is_judged_by_blocks_of_the_same_seeds(evaluated: Path) -> None:
    write_params(
        CHANGES | {"sample": CHANGES["sample"] | {"count": 300}, "evaluate": CHANGES["evaluate"] | {"blocks": 6}}
    )
    sample.main()
    evaluate.main()
    champion = tiny.random_checkpoint(evaluated / "champion")
    weights = files.read_tensors(champion / "weights.safetensors")
    files.write_tensors(champion / "weights.safetensors", {name: value * 4.0 for name, value in weights.items()})
    rescore.rescore(champion, Path("scores.json"))
    scores = files.read_json(Path("scores.json"))
    assert scores["candidate"]["conditions"]["seed"] == scores["champion"]["conditions"]["seed"] > 10_000
    assert scores["candidate"]["fid"] != files.read_json(evaluate.METRICS)["fid"], "another draw than the stage's"
    assert scores["champion"]["conditions"]["weights_sha256"] == files.sha256_file(champion / "weights.safetensors")
    verdict = gate.decide(scores["candidate"], scores["champion"])
    assert verdict.comparison is not None
    assert (verdict.comparison.pairs, verdict.comparison.valid) == (6, True)
    for name in ("fid", "kid"):
        gaps = np.subtract(*(scores[each]["blocks"]["values"][name] for each in ("candidate", "champion")))
        assert len(gaps) == 6
    fids = [scores[each]["blocks"]["values"]["fid"] for each in ("candidate", "champion")]
    assert verdict.comparison.difference == pytest.approx(np.subtract(*fids).mean())
    assert (verdict.verdict == "worse") == (verdict.comparison.low > 0), verdict.reasons
    back = gate.decide(scores["champion"], scores["candidate"])
    outcomes = {verdict.verdict, back.verdict}
    assert outcomes in ({"better", "worse"}, {"regressed", "worse"}), "of two random models one may gain by FID alone"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resolution": 16}, "resolution 8 against 16"),
        ({"classes": ["dark", "bright"]}, "classes dark, light against dark, bright"),
        ({"classes": []}, "classes dark, light against none"),
    ],
)
def test_a_champion_of_something_else_is_refused_in_words(
    evaluated: Path, change: dict[str, object], said: str
) -> None:
    champion = tiny.random_checkpoint(
        evaluated / "champion", {**tiny.CONFIG, "image": {**tiny.CONFIG["image"], **change}}
    )
    with pytest.raises(ValueError, match=said):
        rescore.rescore(champion, Path("scores.json"))
    assert not Path("scores.json").exists()
