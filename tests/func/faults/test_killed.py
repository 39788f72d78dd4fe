"""Rounds on one clone: each kills one process of the pipeline at a random moment, and the next is the rerun.

Every fifth round has a new seed of training, so that there is something to train, record and register again; before
it the pipeline runs to its end. `DDPM_FAULTS_SEED` repeats the moments of a run that failed. `DDPM_FAULTS_CYCLES` is
the number of cycles of five rounds: `make test-faults` asks for four, twenty rounds; without it nothing runs.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ddpm import registry
from ddpm.common import files
from ddpm.registry.aliases import finish_pending_moves
from ddpm.registry.lock import file_lock
from ddpm.tracking import store
from tests.support.clones import states
from tests.support.fault_pipeline import MARK, Flow, locks_held, marked, until, write_params
from tests.support.killed_world import World, world_in
from tests.support.repositories import sh

NAME = "ddpm-faults"
CYCLES = int(os.environ.get("DDPM_FAULTS_CYCLES") or 0)
pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(7200),
    pytest.mark.skipif(CYCLES == 0, reason="make test-faults kills processes at random moments"),
]  # fmt: skip
VICTIMS = ("trainer", "dvc", "flow", "mlflow", "prefect")
MOMENTS = ("pipeline ", "data.dvc ", "prepare ", "features ", "train ", "sample ", "evaluate ", "record ", "register ")
"""Starts of lines that every run says, in this order."""


@pytest.fixture(scope="module")
def tools() -> Iterator[None]:
    """`python` and `dvc` beside this interpreter, and git without anybody's settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        yield


@pytest.fixture(scope="module")
def world(
    tools: None, tmp_path_factory: pytest.TempPathFactory, empty_database: Path, prefect_home: Path
) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("killed"), empty_database, prefect_home) as made:
        yield made


@pytest.mark.parametrize("cycle", range(1, CYCLES + 1))
def test_killed_at_random_moments_the_pipeline_finishes_on_rerun(world: World, cycle: int) -> None:
    write_params(world.folder, {"train": {"seed": cycle}})
    for victim in VICTIMS:
        flow = world.flow()
        killed = KILL[victim](world, flow)
        print(f"round {cycle}.{victim}: killed after {flow.lines[-1:]}")
        assert killed, flow.end()
        output = flow.end()
        until(lambda mark=flow.environment[MARK]: not marked(mark))  # no orphan
        assert locks_held(world.folder) == locks_held(world.folder.parent / "tmp") == []
        if victim in {"trainer", "dvc"}:
            assert "failed" in output
            assert "Traceback" not in output, output
    flow = world.flow()
    output = flow.end()
    assert flow.process.returncode == 0, output
    assert states(output).keys() >= {"prepare", "features", "train", "sample", "evaluate", "record", "register"}
    assert files.sha256_file(world.folder / "out/train/model/weights.safetensors") in registered().values()
    assert list(registered()) == list(range(1, cycle + 1))


def kill_trainer(world: World, flow: Flow) -> bool:
    """While it imports, or some checkpoints later."""
    found = caught(flow, "ddpm.stages.train")
    if world.moments.random() < 0.75:
        before, seen = checkpoints(world.folder), set()  # the trainer keeps two of them
        more = world.moments.randint(1, 6)

        def far_enough() -> bool:
            seen.update(checkpoints(world.folder) - before)
            return len(seen) >= more or not found.is_running()

        flow.wait_for(far_enough)
    time.sleep(world.moments.uniform(0, 0.3))
    return killed(found)


def kill_dvc(world: World, flow: Flow) -> bool:
    """Kill DVC in any stage before the model is complete, but not later, when a rerun has already made it."""
    moment = world.moments.choice(MOMENTS[:4])
    flow.wait_for(lambda: flow.said(moment))
    found = caught(flow, "dvc")
    time.sleep(world.moments.uniform(0, 0.5))
    return killed(found) or killed(caught(flow, "dvc"))


def kill_flow(world: World, flow: Flow) -> bool:
    moment = world.moments.choice(MOMENTS)
    flow.wait_for(lambda: flow.said(moment))
    time.sleep(world.moments.uniform(0, 0.5))
    flow.process.kill()
    return True


def kill_server(name: str) -> Callable[[World, Flow], bool]:
    """Kill the server and start it again at once, as a supervisor would."""

    def kill(world: World, flow: Flow) -> bool:
        moment = world.moments.choice(MOMENTS)
        reached = flow.wait_for(lambda: flow.said(moment))
        time.sleep(world.moments.uniform(0, 0.5))
        world.servers[name].kill()
        world.servers[name].start()
        world.servers[name].wait()
        return reached

    return kill


KILL: dict[str, Callable[[World, Flow], bool]] = {
    "trainer": kill_trainer,
    "dvc": kill_dvc,
    "flow": kill_flow,
    "mlflow": kill_server("mlflow"),
    "prefect": kill_server("prefect"),
}


def caught(flow: Flow, word: str) -> psutil.Process:
    """The first process of the flow with this word in its command, once there is one."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found.extend(each for each in [flow.find(word)] if each)
        return bool(found)

    flow.wait_for(there)
    assert found, flow.end()
    return found[0]


def killed(process: psutil.Process) -> bool:
    """Return True if it could still be killed."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def checkpoints(folder: Path) -> set[Path]:
    return set(folder.glob(".state/train/*/step-*"))


def registered() -> dict[int, str]:
    """Version to hash of its weights, oldest first."""
    versions = sorted(registry.status(NAME).versions, key=lambda each: each.number)
    return {each.number: each.tags["ddpm.weights"] for each in versions}


def test_weights_are_those_of_undisturbed_trainings(world: World, tmp_path: Path) -> None:
    undisturbed = []
    for cycle in range(1, CYCLES + 1):
        folder = tmp_path / str(cycle)
        shutil.copytree(world.folder / "out/prepare", folder / "out/prepare")
        shutil.copytree(world.folder / "presets", folder / "presets")
        write_params(folder, {"train": {"seed": cycle}})
        told = {key: value for key, value in world.environment.items() if key != "MLFLOW_TRACKING_URI"}
        command = [sys.executable, "-m", "ddpm.stages.train"]
        subprocess.run(command, cwd=folder, env=told, check=True, capture_output=True)
        undisturbed.append(files.sha256_file(folder / "out/train/model/weights.safetensors"))
    assert list(registered().values()) == undisturbed
    assert len(set(undisturbed)) == CYCLES


def test_nothing_is_recorded_twice_or_left_open(world: World) -> None:
    connection = store.client()
    with file_lock(NAME) as held:
        finish_pending_moves(connection, held)
    assert {move.outcome for move in registry.history(NAME)} == {"done"}
    experiments = {each.name: each.experiment_id for each in connection.search_experiments()}
    runs = {name: connection.search_runs([number]) for name, number in experiments.items()}
    assert {run.info.status for found in runs.values() for run in found} == {"FINISHED"}
    assert len(runs["ddpm"]) == CYCLES
    for run in runs["ddpm"]:
        steps = [metric.step for metric in connection.get_metric_history(run.info.run_id, "train/loss")]
        assert sorted(steps) == list(range(320, 3201, 320))


def test_dvc_is_usable_and_nothing_is_left_behind(world: World) -> None:
    # What DVC's own file of locks says of the dead goes with the next command that would have to wait for them.
    noted = json.loads((world.folder / ".dvc/tmp/rwlock").read_text() or "{}")
    holders = [each for of_kind in noted.values() for found in of_kind.values() for each in listed(found)]
    assert [each for each in holders if psutil.pid_exists(each["pid"])] == []
    assert "up to date" in sh(world.folder, "dvc", "status")
    parts = [path for path in world.folder.rglob(".*") if path.suffix in {".part", ".old"}]
    assert [path for path in parts if ".dvc" not in path.parts] == []


def listed(found: Any) -> list[dict[str, Any]]:
    """DVC notes one writer or several readers."""
    return found if isinstance(found, list) else [found]
