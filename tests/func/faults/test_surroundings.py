"""The stages in bad surroundings: damaged checkpoints, no room on the disk, no MLflow, a parent that dies at once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.tracking.spool import Spool
from tests.support import forked, records
from tests.support import training_project as stage
from tests.support.fault_pipeline import MARK, marked, until
from tests.support.surroundings import MAKES, MIB, fill, forgetful, small_disk
from tests.support.training_project import newest, paused_between_saves, result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Start = Callable[..., forked.Process]
SHORT = stage.SMALL | {"train": stage.SMALL["train"] | {"images": 480, "sample_every": 240}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage.prepare_project(tmp_path_factory.mktemp("project"), 400, stage.SMALL)


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared project; MLflow's server is named and not there."""
    folder = Path(shutil.copytree(prepared, tmp_path / "project"))
    stage.write_params(folder, SHORT)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{records.free_port()}")
    return folder


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Start a stage; what still runs at the end is ended."""
    started: list[forked.Process] = []

    def begin(name: str = "train") -> forked.Process:
        started.append(forked.start([sys.executable, "-m", f"ddpm.stages.{name}"], cwd=project))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Train without a fault; return the result."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("whole") / "project"))
    stage.write_params(folder, SHORT)
    done = forked.run([sys.executable, "-m", "ddpm.stages.train"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return result(folder)


def ended(process: forked.Process, status: int) -> str:
    output = process.communicate(timeout=600)[0]
    assert process.returncode == status, output
    assert "Traceback" not in output
    return output


def wait_for_a_checkpoint_after(project: Path, last: str, process: forked.Process) -> None:
    until(lambda: newest(project) > last or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]


def killed_after_checkpoints(project: Path, process: forked.Process, count: int) -> Path:
    """Kill the training when there are `count` new checkpoints; the newest."""
    for _ in range(count):
        wait_for_a_checkpoint_after(project, newest(project), process)
    process.kill()
    process.wait()
    return max(project.glob(".state/train/*/step-*"))


def resumed_at(output: str) -> int:
    return int(output.split("resuming at image ")[1].split(" of ", 1)[0].replace(",", ""))


def test_a_damaged_checkpoint_is_named_and_training_goes_on_from_the_one_before(
    project: Path, undisturbed: dict[str, str], start: Start
) -> None:
    """Truncated the first time, one bit of a weight flipped the second time; the end is the same to the bit."""
    tensors = killed_after_checkpoints(project, start(), 3) / "state.safetensors"
    os.truncate(tensors, tensors.stat().st_size // 2)
    process = start()
    assert process.stdout is not None
    said = [next(process.stdout) for _ in range(2)]
    assert f"{tensors.parent.name} is damaged and is not used" in said[0]
    assert resumed_at(said[1]) == 8 * (int(tensors.parent.name[5:]) - 2)
    tensors = killed_after_checkpoints(project, process, 3) / "state.safetensors"
    content = bytearray(tensors.read_bytes())
    content[len(content) // 2] ^= 1
    tensors.write_bytes(content)
    output = ended(start(), 0)
    assert f"{tensors.parent.name} is damaged and is not used (state.safetensors does not match its hash)" in output
    assert result(project) == undisturbed
    assert not list(project.glob(".state/train/*/.*"))


@pytest.mark.parametrize(
    ("where", "words"),
    [("train", " free and a checkpoint needs "), ("tracking", "no space is left on the disk of")],
)
def test_training_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    project: Path, undisturbed: dict[str, str], start: Start, where: str, words: str
) -> None:
    """The disk of the checkpoints, or that of the record; the checkpoints before stay whole."""
    folder = project / ".state" / where
    folder.mkdir(parents=True)
    with small_disk(folder, 16 * MIB):
        process = start()
        wait_for_a_checkpoint_after(project, "", process)
        with paused_between_saves(project, process):
            filler = fill(folder)
        output = ended(process, 1)
        assert words in output
        assert "Free some space" in output
        assert newest(project)
        filler.unlink()
        output = ended(start(), 0)
        assert resumed_at(output) > 0
        assert "damaged" not in output
        assert result(project) == undisturbed


@pytest.mark.parametrize("name", ["prepare", "sample"])
def test_a_stage_on_a_full_disk_says_so_and_leaves_what_was_there(
    project: Path, start: Start, tiny_checkpoint: Path, name: str
) -> None:
    shutil.copytree(tiny_checkpoint, project / "out" / "train" / "model")
    (project / "out" / "sample").mkdir()
    (project / "out" / "sample" / "old").write_text("of the last run")
    with small_disk(project / "out", 4 * MIB):
        before = {path.name: files.sha256_file(path) for path in (project / "out" / name).iterdir()}
        filler = fill(project / "out")
        assert f"error: no space is left on the disk of out/{name}" in ended(start(name), 1)
        assert before == {path.name: files.sha256_file(path) for path in (project / "out" / name).iterdir()}
        assert not list((project / "out").glob(".*"))
        filler.unlink()
        ended(start(name), 0)
        assert not (project / "out" / "sample" / "old").exists() or name != "sample"


def test_without_mlflow_training_completes_and_the_record_is_made_once_later(
    project: Path, undisturbed: dict[str, str], start: Start, tmp_path: Path, empty_database: Path
) -> None:
    output = ended(start(), 0)
    assert output.count("MLflow is not recording now") == 1
    assert result(project) == undisturbed
    (digest,) = [path.name for path in (project / ".state" / "tracking").iterdir()]
    with pytest.raises(tracking.TrackingUnavailableError, match="does not answer"):
        tracking.replay(digest)
    port = int(os.environ["MLFLOW_TRACKING_URI"].rsplit(":", 1)[1])
    with records.server(tmp_path / "server", empty_database, port):
        run_id = tracking.replay(digest)
        assert run_id
        assert tracking.replay(digest) == run_id
        run = tracking.client().get_run(run_id)
        assert run.info.status == "FINISHED"
        assert [step for step, _ in records.points(run_id, "train/loss")] == list(range(80, 481, 80))
        assert len(tracking.client().list_artifacts(run_id, "images")) == 4
        assert len(tracking.client().search_runs([run.info.experiment_id])) == 1


def test_a_stage_whose_parent_dies_while_it_is_still_importing_ends_too(project: Path) -> None:
    """A shell in a session of its own stands for DVC. Torch takes a second to import, the signal is asked for after."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"'{sys.executable}' -m ddpm.stages.train & echo started; wait"],
        cwd=project, stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {MARK: str(project)},
    )  # fmt: skip
    assert shell.stdout is not None
    shell.stdout.readline()
    until(lambda: len(marked(str(project))) == 2)
    shell.kill()
    shell.wait()
    until(lambda: not marked(str(project)))
    assert not (project / ".state").exists()


WRITER = """
import sys, time
from pathlib import Path
from ddpm.common import files
with files.new_file(Path("file.json")) as file, files.fresh_folder(Path("folder")) as new:
    file.write(b"half")
    (new / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_leaves_goes_with_the_next_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file.json", "old")
    (tmp_path / ".file.json.swp").write_text("of somebody's editor")

    def parts() -> list[str]:
        return sorted(path.name.split(".")[1] for path in tmp_path.glob(".*.part"))

    writers = []
    for _ in range(2):
        writers.append(subprocess.Popen([sys.executable, "-c", WRITER], cwd=tmp_path, stdout=subprocess.PIPE))
        assert writers[-1].stdout is not None
        assert writers[-1].stdout.readline() == b"writing\n"
    try:
        assert parts() == ["file", "file", "folder", "folder"]
        writers[0].kill()
        writers[0].wait()
        assert (tmp_path / "file.json").read_text() == "old"
        files.write_text(tmp_path / "file.json", "new")
        with files.fresh_folder(tmp_path / "folder"):
            pass
        assert parts() == ["file", "folder"]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    files.write_text(tmp_path / "file.json", "newer")
    with files.fresh_folder(tmp_path / "folder"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.json.swp", "file.json", "folder"]


def test_what_was_made_before_the_answer_was_lost_is_found_and_not_made_twice(
    project: Path, tmp_path: Path, empty_database: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tracking.SPOOLS / records.DIGEST)
    with spool.writing():
        spool.start({"train.lr": "0.1"}, {})
        spool.finish("FINISHED")
    port = records.free_port()
    with records.server(tmp_path / "server", empty_database, port), forgetful(port) as (url, asked):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        with pytest.raises(MlflowException, match="runs/create"):
            tracking.replay(records.DIGEST)
        run_id = tracking.replay(records.DIGEST)
        assert run_id
        with pytest.raises(MlflowException, match="model-versions/create"):
            registry.register(tiny_checkpoint, "lost", run_id)
        assert registry.register(tiny_checkpoint, "lost", run_id) == 1
        assert registry.status("lost").aliases == {"candidate": 1}
        assert len(registry.status("lost").versions) == 1
        run = tracking.client().get_run(run_id)
        assert len(tracking.client().search_runs([run.info.experiment_id])) == 1
        assert asked == list(MAKES)
