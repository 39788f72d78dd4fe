"""Checkpoints written by a thread: the state at the time of the call, complete when the block ends."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm.training import loop, state
from ddpm.training.saver import Saver
from tests.support import tiny
from tests.support.tiny_training import run


def test_a_checkpoint_is_the_state_of_its_step_though_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("waited", "threaded"):
        (tmp_path / name).mkdir()
    run(tiny.training(), save=lambda now: state.save(now, tmp_path / "waited", 99))

    written, late = state.write, threading.Event()

    def slowly(*arguments: Any) -> None:
        late.wait(0.2)  # training changes its weights meanwhile
        written(*arguments)

    monkeypatch.setattr(state, "write", slowly)
    with Saver(tmp_path / "threaded", 99, writes=True) as saver:
        run(tiny.training(), save=saver.save)
    names = sorted(path.name for path in (tmp_path / "waited").glob("step-*"))
    assert names == sorted(path.name for path in (tmp_path / "threaded").glob("step-*"))
    assert len(names) > 2
    for name in names:
        for part in (state.TENSORS, state.PROGRESS):
            assert (tmp_path / "waited" / name / part).read_bytes() == (
                tmp_path / "threaded" / name / part
            ).read_bytes()


class Computed(TorchDispatchMode):
    """Names of the operations that compute or copy, not those that only make another view."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seen.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_the_thread_only_writes_so_that_it_starts_no_openmp_threads(tmp_path: Path) -> None:
    training = tiny.training()
    training.denoiser.to(memory_format=torch.channels_last)
    checkpoint = state.copy(training, tmp_path)
    assert checkpoint is not None
    with Computed() as computed:
        state.write(checkpoint, tmp_path, 2)
    assert computed.seen <= {"detach", "alias"}


def test_a_stopped_training_is_saved_when_the_block_ends(tmp_path: Path) -> None:
    with pytest.raises(loop.TrainingStopped), Saver(tmp_path, 2, writes=True) as saver:
        run(tiny.training(), stop_at=5, save=saver.save)  # the step of a checkpoint: it is written once
    restored = tiny.training()
    assert state.restore(restored, tmp_path)
    assert restored.step == 5


@pytest.mark.parametrize("then", ["another checkpoint", "the end"])
def test_a_failed_write_ends_the_training(tmp_path: Path, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise state.StateError("no room")

    monkeypatch.setattr(state, "write", full)
    training, ends = tiny.training(), []

    def train() -> None:
        with Saver(tmp_path, 2, writes=True) as saver:
            saver.save(training)
            if then == "another checkpoint":
                training.step = 1
                saver.save(training)
            ends.append(then)

    with pytest.raises(state.StateError, match="no room"):
        train()
    assert ends == (["the end"] if then == "the end" else [])


def test_a_process_that_does_not_write_keeps_nothing(tmp_path: Path) -> None:
    with Saver(tmp_path, 2, writes=False) as saver:
        saver.save(tiny.training())
        assert saver.writing is None
    assert list(tmp_path.iterdir()) == []
    assert state.gather_to_host({"a": torch.ones(2)}, keep=False) == {}
