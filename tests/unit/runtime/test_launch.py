"""Number of processes that a stage starts. GPUs are simulated."""

import pytest
import torch

from ddpm.runtime import torchrun


@pytest.mark.parametrize(
    ("gpus", "wanted", "device", "count"),
    [
        (0, "auto", "auto", 1), (1, "auto", "auto", 1), (4, "auto", "auto", 4), (4, "auto", "cuda", 4),
        (4, "auto", "cpu", 1), (4, "auto", "cuda:2", 1), (4, 2, "auto", 2), (0, 2, "auto", 2), (4, 8, "cpu", 8),
    ],
)  # fmt: skip
def test_auto_is_a_process_for_each_gpu_and_a_number_is_that_number(
    monkeypatch: pytest.MonkeyPatch, gpus: int, wanted: str | int, device: str, count: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert torchrun.processes(wanted, device) == count


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"train\.processes = 4, and this machine has 2 GPUs"):
        torchrun.processes(4, "auto")
