"""Resumable checkpoints: whole or not at all, the newest good one wins, one owner, bounded space."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from ddpm.training import state
from tests.support import tiny


def saved(folder: Path, *steps: int) -> None:
    for step in steps:
        training = tiny.training()
        training.step, training.history = step, [{"images": step, "loss": 0.1}]
        next(training.denoiser.parameters()).data.fill_(step)
        state.save(training, folder, keep=9)


def test_nothing_to_restore(tmp_path: Path) -> None:
    assert not state.restore(tiny.training(), tmp_path)


def test_the_newest_is_restored_with_everything(tmp_path: Path) -> None:
    saved(tmp_path, 2, 10)
    training = tiny.training()
    assert state.restore(training, tmp_path)
    assert (training.step, training.history) == (10, [{"images": 10, "loss": 0.1}])
    assert next(training.denoiser.parameters()).unique().tolist() == [10]


@pytest.mark.parametrize("part", ["state.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, part: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    training = tiny.training()
    from tests.support.tiny_training import run

    run(training, save=lambda now: state.save(now, tmp_path, 9))
    saved(tmp_path, 900)
    path = tmp_path / "step-000000900" / part
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-2 if part == "progress.json" else len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    restored = tiny.training()
    assert state.restore(restored, tmp_path)
    assert restored.step == training.step
    assert "step-000000900 is damaged" in capsys.readouterr().out


def test_a_changed_number_in_the_progress_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    path = tmp_path / "step-000000005" / "progress.json"
    path.write_text(path.read_text().replace('"step": 5', '"step": 6'))
    with pytest.raises(state.StateError, match=r"every checkpoint in .* is damaged"):
        state.restore(tiny.training(), tmp_path)


def test_retention_is_bounded_and_half_written_folders_go(tmp_path: Path) -> None:
    (tmp_path / ".step-000000001.left").mkdir()
    for step in range(1, 7):
        training = tiny.training()
        training.step = step
        state.save(training, tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000005", "step-000000006"]


class Full:
    """A disk without room."""

    free = 0


def test_too_little_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)
    monkeypatch.setattr(state.shutil, "disk_usage", lambda path: Full())
    training = tiny.training()
    training.step = 2
    with pytest.raises(state.StateError, match=r"0 bytes free and a checkpoint needs \d\.\d MiB"):
        state.save(training, tmp_path, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with state.owned(folder):
        ready.set()
        time.sleep(60)


def test_a_second_trainer_refuses_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(state.StateError, match="another process is training"), state.owned(tmp_path):
            pass
    finally:
        holder.kill()
        holder.join()
    with state.owned(tmp_path):
        pass


def test_only_the_newest_trainings_keep_their_state(tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / f"digest{i}").mkdir()
        os.utime(tmp_path / f"digest{i}", (i, i))
    with state.owned(tmp_path / "digest1"):
        os.utime(tmp_path / "digest1", (1, 1))
        state.prune_digests(tmp_path, "digest0")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["digest0", "digest1", "digest4", "digest5"]  # 0 is current, 1 is running


def test_the_digest_changes_with_params_data_and_code() -> None:
    digests = {
        state.digest(params, data, each)
        for params in ({"lr": 1}, {"lr": 2})
        for data in ("x", "y")
        for each in ("code", "other")
    }
    assert len(digests) == 8


def test_average_and_raw_weights_are_both_kept(tmp_path: Path) -> None:
    training = tiny.training()
    training.ema = {name: tensor + 1 for name, tensor in training.ema.items()}
    state.save(training, tmp_path, keep=2)
    restored = tiny.training()
    state.restore(restored, tmp_path)
    for name, tensor in restored.denoiser.state_dict().items():
        assert torch.equal(restored.ema[name], tensor + 1)
