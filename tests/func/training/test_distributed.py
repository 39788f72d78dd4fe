"""Real processes on gloo: what several train is what one trains, and all stop at one step."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm.common import files
from ddpm.training import state
from ddpm.training.batches import Loader
from tests.support import forked, several, tiny

ROOT = Path(__file__).parents[3]
BY_MUON = {"rel": 1e-3, "atol": 1e-3}
"""Tolerances for Muon, whose steps are ten times as long and raise small singular values five hundred times."""


def torchrun(count: int, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program in so many processes, to its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return forked.run([*command, *map(str, arguments)], cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of two processes."""
    folder = tmp_path_factory.mktemp("two")
    tiny.random_checkpoint(folder / "model")
    done = torchrun(2, several.__file__, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(two: Path) -> dict[str, Any]:
    """Return their results."""
    content: dict[str, Any] = files.read_json(two / "found.json")
    return content


@pytest.fixture(scope="module")
def one() -> state.State:
    """The same training by one process."""
    training = tiny.training(several.CONFIG)
    several.fit(training, several.data_parallel.SINGLE_PROCESS)
    return training


def read(folder: Path, optimizer: str = "adamw") -> state.State:
    training = tiny.training(several.CONFIG, optimizer)
    assert state.restore(training, folder)
    return training


def assert_close(a: state.State, b: state.State, rel: float = 1e-5, atol: float = 5e-5) -> None:
    """The same losses and gradients at every step, and nearly the same weights.

    Adam divides by the size of a gradient: where that is rounding, so is the direction of the step.
    """
    assert [row["images"] for row in a.history] == [row["images"] for row in b.history]
    for key in ("loss", "grad_norm"):
        assert [row[key] for row in a.history] == pytest.approx([row[key] for row in b.history], rel=rel)
    for one, other in [(a.denoiser.state_dict(), b.denoiser.state_dict()), (a.ema, b.ema)]:
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=atol)


def test_parts_of_all_processes_are_the_batch_of_one() -> None:
    """Image by image, with its level, noise and label, in any number of processes."""
    recipe = replace(tiny.TRAIN_CONFIG, batch=12, accumulation=2)

    def drawn(rank: int, count: int) -> list[tuple[Any, ...]]:
        group = several.data_parallel.ProcessGroup(rank, count)
        with Loader(tiny.data(), recipe, lambda u: u, torch.device("cpu"), group) as loader:
            return list(loader.batches(5))

    whole = drawn(0, 1)
    for count in (2, 3, 6):
        parts = [drawn(rank, count) for rank in range(count)]
        for number, micro in enumerate(whole):
            joined = [torch.cat(each) for each in zip(*(part[number] for part in parts), strict=True)]
            assert all(torch.equal(a, b) for a, b in zip(joined, micro, strict=True))


def test_a_batch_that_cannot_be_shared_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"3 processes cannot share train\.batch = 8 .* must be a multiple of 6"):
        replace(tiny.TRAIN_CONFIG, accumulation=2).require_shares(3)


@pytest.mark.parametrize("name", ["replicas", "accumulated", "shards", "shards_resumed"])
def test_two_processes_train_what_one_does(two: Path, one: state.State, name: str) -> None:
    """Whole in each or divided, in one micro-batch or two, from the start or from the checkpoint of another kind."""
    assert_close(read(two / name), one)


@pytest.mark.parametrize("name", ["stopped", "shards"])
def test_one_process_goes_on_where_two_stopped(two: Path, one: state.State, name: str) -> None:
    training = read(two / name)
    assert training.step == (several.STOPPED_AT if name == "stopped" else several.TRAIN_CONFIG.steps)
    several.fit(training, several.data_parallel.SINGLE_PROCESS)
    assert_close(training, one)


@pytest.mark.parametrize("name", ["consistency_replicas", "consistency_shards"])
def test_two_processes_train_a_consistency_model_as_one_does(two: Path, name: str) -> None:
    alone = tiny.training(several.CONFIG, objective=tiny.distilling(several.CONFIG))
    several.fit(alone, several.data_parallel.SINGLE_PROCESS, several.SHORT)
    assert_close(read(two / name), alone)


@pytest.fixture(scope="module")
def one_by_muon() -> state.State:
    """The training by Muon in one process."""
    training = tiny.training(several.CONFIG, "muon")
    several.fit(training, several.data_parallel.SINGLE_PROCESS)
    return training


@pytest.mark.parametrize("name", ["muon_replicas", "muon_shards"])
def test_two_processes_train_by_muon_what_one_does(two: Path, one_by_muon: state.State, name: str) -> None:
    """Matrices that the processes divide are orthogonalised whole."""
    assert_close(read(two / name, "muon"), one_by_muon, **BY_MUON)


def test_a_divided_training_by_muon_resumes_to_the_bit(two: Path) -> None:
    assert read(two / "muon_stopped", "muon").step == several.STOPPED_AT
    resumed, whole = read(two / "muon_resumed", "muon"), read(two / "muon_shards", "muon")
    assert resumed.history == whole.history
    for one, other in ((resumed.denoiser.state_dict(), whole.denoiser.state_dict()), (resumed.ema, whole.ema)):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_process_goes_on_where_two_stopped_by_muon(two: Path, one_by_muon: state.State) -> None:
    training = read(two / "muon_stopped", "muon")
    several.fit(training, several.data_parallel.SINGLE_PROCESS)
    assert_close(training, one_by_muon, **BY_MUON)


def test_gradients_are_exchanged_once_a_step_however_many_micro_batches(found: dict[str, Any]) -> None:
    assert found["exchanges"] == 1


def test_when_one_is_asked_to_stop_all_stop_at_its_step(two: Path, found: dict[str, Any]) -> None:
    assert found["stopped"] == [several.STOPPED_AT] * 2
    assert max(path.name for path in (two / "stopped").glob("step-*")) == f"step-{several.STOPPED_AT:09d}"


def test_a_loss_that_is_not_finite_in_one_stops_all_with_the_same_words(found: dict[str, Any]) -> None:
    assert found["all_saw_it"] == [1, 1]
    assert "loss is not finite at step 0, for sigma" in found["not_finite"]


def test_heldout_loss_is_the_same_number_in_any_number_of_processes(found: dict[str, Any]) -> None:
    """From equal weights the value is bit-identical, with the model replicated or sharded."""
    alone = several.measured(tiny.training(several.CONFIG), several.data_parallel.SINGLE_PROCESS)
    assert found["measured"] == [alone, alone]
    assert len(set(found["all_measured"])) == 1


def test_measuring_does_not_change_a_divided_training_by_a_bit(two: Path) -> None:
    plain, measured = read(two / "shards"), read(two / "shards_measured")
    assert all("heldout_loss" in row for row in measured.history)
    for one, other in ((plain.denoiser.state_dict(), measured.denoiser.state_dict()), (plain.ema, measured.ema)):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_divided_model_is_held_in_parts(found: dict[str, Any], one: state.State) -> None:
    whole = sum(each.numel() for each in one.denoiser.parameters())
    assert sum(found["shares"]) == whole
    assert max(found["shares"]) < 0.6 * whole


def test_two_processes_draw_the_images_of_one(two: Path, tmp_path: Path) -> None:
    """The images are byte-identical, and the evaluations are equally many."""
    tiny.draw(two / "model", tmp_path / "drawn", several.SAMPLE)
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == sorted(path.name for path in (two / "drawn").iterdir())
    assert all((two / "drawn" / name).read_bytes() == (tmp_path / "drawn" / name).read_bytes() for name in names)
