"""The whole flow in real clones, on the quick preset: first run, repetition, interruption, changes, and a worse model.

The tests depend on their order: each continues from the state that the previous one left.
"""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.service import prefect_server
from tests.support import forked
from tests.support.clones import clone, environment, left_over, states
from tests.support.databases import give_prefect
from tests.support.repositories import DDPM
from tests.support.surroundings import held

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STAGES = ["data.dvc", "prepare", "features", "train", "sample", "evaluate"]


def start(folder: Path, *arguments: str) -> forked.Process:
    """The flow as `make run` starts it, with a line of progress every half second."""
    told = environment(folder) | {"DDPM_PROGRESS_SECONDS": "0.5"}
    return forked.start([DDPM, "run", *arguments], cwd=folder, env=forked.stages(told))


def finish(run: forked.Process, status: int = 0) -> str:
    output, _ = run.communicate(timeout=800)
    assert run.returncode == status, output
    return output


def registry(folder: Path, code: str) -> Any:
    """Query the clone's registry; the answer from JSON."""
    program = f"import json\nfrom ddpm import registry\nprint(json.dumps({code}))"
    done = forked.run([sys.executable, "-c", program], cwd=folder, env=environment(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def aliases(folder: Path) -> dict[str, int]:
    found: dict[str, int] = registry(folder, "dict(registry.status('ddpm-digits').aliases)")
    return found


def counts(folder: Path) -> list[int]:
    """The numbers of versions and of moves in the audit trail."""
    name = "'ddpm-digits'"
    found: list[int] = registry(folder, f"[len(registry.status({name}).versions), len(registry.history({name}))]")
    return found


def quarter(folder: Path) -> Path:
    """A clone whose training is a quarter as long as that of the quick preset."""
    clone(folder)
    for key, (old, new) in {
        "images": (16000, 4000), "warmup": (640, 160), "ema": (1600, 400), "log_every": (800, 400),
        "sample_every": (8000, 2000), "checkpoint_every": (3200, 800),
    }.items():  # fmt: skip
        change(folder, f"{key}: {old} ", f"{key}: {new} ")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tools_on_path: None) -> Path:
    return quarter(tmp_path_factory.mktemp("first") / "clone")


@dataclass(frozen=True)
class Pages:
    """A running `ddpm ui`, its output up to the last line of its start, and the ports asked for."""

    process: "subprocess.Popen[str]"
    output: str
    ports: tuple[int, int]


@pytest.fixture(scope="module")
def pages(first: Path) -> Iterator[Pages]:
    """Both servers in the first clone: later runs there find Prefect's, and save its start."""
    ports = prefect_server.free_port(), prefect_server.free_port()
    process = subprocess.Popen(
        [DDPM, "ui", "--mlflow-port", str(ports[0]), "--prefect-port", str(ports[1])],
        cwd=first, env=environment(first), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        yield Pages(process, "".join(lines), ports)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def test_a_fresh_clone_ends_with_a_champion_and_a_summary(first: Path) -> None:
    output = finish(start(first))
    said = states(output)
    assert [said[name] for name in STAGES] == ["Fetched"] + ["Completed"] * 5
    assert said["register"] == said["verify"] == said["promote"] == "Completed"
    assert "ddpm-digits version 1 promoted: the first champion" in output
    for word in ("FID", "limit", "Why", "out/report/index.html", "ddpm ui"):
        assert word in output
    assert "Traceback" not in output
    assert "Error" not in output
    assert aliases(first) == {"candidate": 1, "champion": 1}
    assert left_over(first) == []


def test_a_run_stopped_in_training_saves_and_dvc_alone_gets_the_same_results(
    first: Path, prefect_home: Path, tmp_path: Path
) -> None:
    """SIGTERM, then Ctrl-C, then `dvc repro`, in another clone: the lock files are byte-identical."""
    second = quarter(tmp_path / "clone")
    give_prefect(second / ".state/prefect", prefect_home)
    for number, status in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)):
        run = start(second)
        assert run.stdout is not None
        for line in run.stdout:
            if re.match(r"train .*(images \(|resuming at image)", line):
                break
        run.send_signal(number)
        output = finish(run, status=status)
        assert "the state is saved" in output
        assert left_over(second) == []
        assert list((second / ".state" / "train").rglob("*.safetensors"))
    repro = forked.run(["dvc", "repro"], cwd=second, env=forked.stages(environment(second)))
    assert repro.returncode == 0, repro.stdout + repro.stderr
    assert "resuming at image" in repro.stdout
    assert (second / "dvc.lock").read_text() == (first / "dvc.lock").read_text()


def test_a_parameter_of_evaluate_runs_evaluate_only_and_is_kept(first: Path, pages: Pages) -> None:
    """The champion itself is neither registered, verified nor judged again."""
    before = (first / "params.yaml").read_text()
    output = finish(start(first, "--set", "evaluate.grid=9"))
    said = states(output)
    assert [name for name in STAGES if said[name] != "Cached"] == ["evaluate"]
    assert said["register"] == "Cached"
    assert not {"verify", "champion", "promote"} & set(said)
    assert re.search(r"^evaluate\.grid +10 +9 *$", output, re.M)
    assert (first / "params.yaml").read_text() == before.replace("grid: 10 ", "grid: 9  ")
    assert "grid: 9\n" in (first / "dvc.lock").read_text()
    assert counts(first) == [1, 1]


def test_a_worse_model_is_registered_compared_and_not_promoted(first: Path, pages: Pages) -> None:
    change(first, "images: 4000 ", "images: 400 ")
    change(first, "warmup: 160 ", "warmup: 40 ")
    output = finish(start(first))
    said = states(output)
    assert [name for name in STAGES if said[name] == "Cached"] == ["data.dvc", "prepare", "features"]
    assert said["champion"] == "Completed"
    assert "version 2 not promoted: worse than the champion" in output
    assert aliases(first) == {"candidate": 2, "champion": 1}


def test_a_repeated_run_is_cached_waits_for_databases_and_does_nothing_twice(first: Path, pages: Pages) -> None:
    """Somebody holds both servers' databases for longer than SQLite's own patience."""
    lock, state = (first / "dvc.lock").read_text(), first / ".state"
    run, lines = start(first), []
    assert run.stdout is not None
    for line in run.stdout:
        lines.append(line)
        if line.startswith("pipeline "):
            break
    with held(state / "mlflow/mlflow.db"), held(state / "prefect/prefect.db"):
        time.sleep(12)
    said = states("".join(lines) + finish(run))
    assert {said[name] for name in STAGES} == {"Cached"}
    assert said["champion"] == said["register"] == said["verify"] == "Cached"
    assert counts(first) == [2, 1]
    assert (first / "dvc.lock").read_text() == lock


def test_both_models_were_scored_in_one_process_and_the_evidence_is_kept(first: Path) -> None:
    """Both have the same reference, extractor and seeds; the seeds follow from this pair of models."""
    (kept,) = (first / ".state" / "champion").glob("*/scores.json")
    scores = json.loads(kept.read_text())
    seeds = []
    for number, each in ((1, scores["champion"]), (2, scores["candidate"])):
        recorded = registry(first, f"registry.version('ddpm-digits', {number}).evidence")["conditions"]
        assert each["conditions"] == recorded | {"seed": each["conditions"]["seed"]}
        assert each["conditions"]["seed"] != recorded["seed"]
        seeds.append(each["conditions"]["seed"])
    assert seeds[0] == seeds[1]
    evidence = registry(first, "registry.load_evidence('ddpm-digits', 2)")
    own = registry(first, "registry.version('ddpm-digits', 1).evidence")["generalisation"]
    assert evidence["scores"] == scores | {"champion": scores["champion"] | {"generalisation": own}}
    assert evidence["versions"] == {"name": "ddpm-digits", "candidate": 2, "champion": 1}
    assert evidence["limits"]["confidence"] == 0.95
    verdict = evidence["verdict"]
    assert (verdict["verdict"], verdict["comparison"]["pairs"], verdict["comparison"]["valid"]) == ("worse", 10, True)
    assert verdict["comparison"]["low"] > 0


def test_retraining_skips_what_is_finished(first: Path, pages: Pages) -> None:
    once = [DDPM, "retrain"]
    done = subprocess.run(once, cwd=first, env=environment(first), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\S+ +Skipped: .*those of the last finished run", done.stdout, re.M)


def test_invalid_settings_are_reported_before_anything_starts(first: Path) -> None:
    change(first, "warmup: 40 ", "warmupp: 40 ")
    output = finish(start(first), status=1)
    assert "train.warmupp is not a parameter; did you mean warmup?" in output
    assert "Traceback" not in output
    assert "pipeline" not in states(output)
    change(first, "warmupp: 40 ", "warmup: 40 ")


def test_the_pages_answer_and_end_together(first: Path, pages: Pages) -> None:
    for port in pages.ports:
        address = f"http://127.0.0.1:{port}"
        assert address in pages.output
        with urllib.request.urlopen(address, timeout=20) as page:
            assert "<html" in page.read().decode().lower()
    pages.process.send_signal(signal.SIGINT)
    pages.process.communicate(timeout=60)
    assert pages.process.returncode == 0
    assert left_over(first) == []


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "params.yaml"
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))
