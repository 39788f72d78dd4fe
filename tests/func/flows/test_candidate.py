"""The tasks from a trained candidate to its verdict: scoring process, gate, evidence and move, without fakes."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.config import params
from ddpm.metrics import loss_gap
from ddpm.registry.versions import SAMPLING_TAG, VERIFIED_TAG
from tests.support import tiny
from tests.support.evaluated_project import CHANGES, write_images, write_params
from tests.support.records import DIGEST, use_embedded

pytestmark = pytest.mark.timeout(900)
NAME = "ddpm-digits"


def model(folder: Path, scale: float, **image: Any) -> Path:
    """A checkpoint of random weights multiplied by `scale`."""
    tiny.random_checkpoint(folder, {**tiny.CONFIG, "image": {**tiny.CONFIG["image"], **image}})
    weights = files.read_tensors(folder / "weights.safetensors")
    files.write_tensors(folder / "weights.safetensors", {name: scale * each for name, each in weights.items()})
    return folder


def measured_history() -> str:
    """A history of two log points, the last with a held-out loss that is 2 % above the training loss."""
    row = loss_gap.summary({"heldout": [[0.41, 0.61]] * loss_gap.LEVELS, "training": [[0.4, 0.6]] * loss_gap.LEVELS})
    return (
        f"images,loss,lr,grad_norm,{','.join(row)}\n80,0.9,0.001,1{',' * len(row)}\n"
        f"160,0.5,0,1,{','.join(map(str, row.values()))}\n"
    )


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tools_on_path: None) -> Iterator[Path]:
    """A project whose stages made version 2; version 1 is champion, and version 3 has other classes."""
    from ddpm.stages import evaluate, features, prepare, sample

    folder = tmp_path_factory.mktemp("promoting")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"):
            patch.delenv(name, raising=False)
        use_embedded(folder, empty_database)
        write_params(
            CHANGES | {"sample": CHANGES["sample"] | {"count": 300}, "evaluate": CHANGES["evaluate"] | {"blocks": 6}}
        )
        write_images()
        prepare.main()
        features.main()
        model(Path("out/train/model"), 1.0)
        files.write_text(Path("out/train/history.csv"), measured_history())
        sample.main()
        evaluate.main()
        run_id = tracking.complete(DIGEST, {"fid": 30.0})
        candidates = [model(Path("one"), 4.0), Path("out/train/model"), model(Path("three"), 1.0, classes=["a", "b"])]
        for number, each in enumerate(candidates, 1):
            metrics = files.read_json(evaluate.METRICS)
            if number == 1:
                metrics["generalisation"] |= {"gap": 0.25}
            assert registry.register(each, NAME, run_id, metrics) == number
            registry.annotate(NAME, number, {VERIFIED_TAG: "{}"})
        registry.promote(NAME, 1, why="first", expected_champion=None)
        yield folder


def step(task: Any, *arguments: Any) -> Any:
    """The final state of a task that runs without a flow."""
    from prefect.logging import disable_run_logger

    with disable_run_logger():
        return task.fn(*arguments)


def test_both_models_are_scored_in_one_process_and_the_evidence_is_kept_with_the_move() -> None:
    from flows.tasks import candidate

    settings, metrics = params.load(), files.read_json(candidate.METRICS)
    scored = step(candidate.rescore, NAME, 1, settings, metrics)
    assert scored.name == "Completed"
    ours, theirs = (scored.data[each]["conditions"] for each in ("candidate", "champion"))
    assert ours["weights_sha256"] == metrics["conditions"]["weights_sha256"]
    assert ours["seed"] == theirs["seed"] != metrics["conditions"]["seed"]
    assert scored.data["champion"]["conditions"]["weights_sha256"] == files.sha256_file(Path("one/weights.safetensors"))
    again = step(candidate.rescore, NAME, 1, settings, metrics)
    assert (again.name, again.data) == ("Cached", scored.data)

    verdict = step(candidate.judge, settings.promote, NAME, 2, 1, scored.data).data
    assert verdict.verdict in {"better", "regressed", "worse"}, verdict.reasons
    assert [row.name for row in verdict.rows][:1] == ["FID (classifier, 300 images)"]
    gap = next(row for row in verdict.rows if row.name == "held-out loss gap")
    assert (gap.candidate, gap.champion) == (pytest.approx(0.02), 0.25), "each as its own training measured it"
    assert not re.search(
        r"\bFID\b(?! \(classifier, 300 images\))", " ".join([*verdict.reasons, *(row.name for row in verdict.rows)])
    )
    assert registry.version(NAME, 2).tags["ddpm.reasons"] == "; ".join(verdict.reasons)
    turned = {"candidate": scored.data["champion"], "champion": scored.data["candidate"]}
    outcomes = {verdict.verdict, candidate.gate.decide(**turned).verdict}
    assert outcomes in ({"better", "worse"}, {"regressed", "worse"}), "of two random models one may gain by FID alone"
    evidence = registry.load_evidence(NAME, 2)
    assert evidence["verdict"] == json.loads(json.dumps(verdict.as_json()))
    assert evidence["scores"] == scored.data
    assert evidence["versions"] == {"name": NAME, "candidate": 2, "champion": 1}
    assert evidence["limits"] == settings.promote.model_dump(exclude=candidate.NO_LIMITS)
    assert registry.version(NAME, 2).tags["ddpm.verdict"] == verdict.verdict

    step(candidate.move, NAME, 2, verdict, 1, {})
    assert registry.status(NAME).aliases["champion"] == 2
    told = tracking.client().download_artifacts(registry.history(NAME)[-1].run_id, "evidence.json")
    assert json.loads(Path(told).read_text()) == evidence


def test_a_champion_of_other_classes_cannot_be_scored_and_the_verdict_says_why() -> None:
    from flows.tasks import candidate

    settings, metrics = params.load(), files.read_json(candidate.METRICS)
    scored = step(candidate.rescore, NAME, 3, settings, metrics)
    assert scored.data["candidate"] == metrics
    verdict = step(candidate.judge, settings.promote, NAME, 2, 3, scored.data).data
    assert (verdict.verdict, verdict.promote) == ("refused", False)
    assert "classes dark, light against a, b" in verdict.reasons[0]


def test_the_champions_own_weights_with_other_sampling_are_not_promoted_and_the_command_is_named() -> None:
    from flows import summary
    from flows.tasks import candidate

    scores = {"candidate": files.read_json(candidate.METRICS), "champion": files.read_json(candidate.METRICS)}
    same = step(candidate.judge, params.load().promote, NAME, 2, 1, scores).data
    assert same.reasons == ("the champion's own weights and settings, made by other code or parameters",)
    own = registry.version(NAME, 1).sampling
    registry.annotate(NAME, 1, {SAMPLING_TAG: json.dumps({**own, "steps": own["steps"] + 1})})
    verdict = step(candidate.judge, params.load().promote, NAME, 2, 1, scores).data
    registry.annotate(NAME, 1, {SAMPLING_TAG: json.dumps(own)})
    assert (verdict.verdict, verdict.promote) == ("unchanged", False)
    assert "`ddpm promote 2` adopts them" in verdict.reasons[0]
    seen = io.StringIO()
    made = summary.RegisteredVersion(NAME, 2, True, ("candidate",), 1, "run")
    summary.show(summary.PipelineResult([], verdict, made, {}), Console(file=seen, width=100))
    assert "version 2 not promoted: the champion's own weights" in seen.getvalue()
