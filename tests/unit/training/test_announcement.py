"""What a training prints at its start, and the estimate of a proposal."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm.config import presets
from ddpm.training import announcement, estimate
from tests.support import tiny, tiny_training

MACHINE = {"ddpm.device": "cpu", "ddpm.cpu": "x86_64 Some CPU", "ddpm.threads": "1", "ddpm.torch": "2.13.0"}
PRESETS = Path(__file__).parents[3] / "presets"


def test_machine_network_and_epochs_are_named() -> None:
    module = torch.nn.Linear(1000, 200)
    assert announcement.lines(tiny.TRAIN_CONFIG, MACHINE, "unet", module, 27) == [
        "train: on cpu, x86_64 Some CPU, 1 thread; fp32, torch 2.13.0",
        "train: unet of 0.200 million parameters; 160 images, 5.93 epochs of 27",
    ]
    several = MACHINE | {"ddpm.threads": "4", "ddpm.processes": "2"}
    assert "4 threads, 2 processes" in announcement.lines(tiny.TRAIN_CONFIG, several, "unet", module, 27)[0]


def test_the_first_steps_are_timed_once_and_do_not_change_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcement, "MOST_STEPS", 3)
    monkeypatch.setattr(announcement, "SECONDS", float("inf"))
    shown: list[str] = []
    timed, plain = tiny.training(), tiny.training()
    first_steps = announcement.FirstSteps(tiny.TRAIN_CONFIG, torch.device("cpu"), shown.append)

    def should_stop() -> bool:
        first_steps(timed.step)
        return False

    tiny_training.run(timed, should_stop=should_stop)
    tiny_training.run(plain)
    assert len(shown) == 1
    assert shown[0].startswith("train: about ")
    assert "left, by 3 timed steps (" in shown[0]
    for name, tensor in plain.ema.items():
        assert torch.equal(timed.ema[name], tensor)


def test_a_training_that_resumes_near_its_end_has_no_estimate() -> None:
    first_steps = announcement.FirstSteps(tiny.TRAIN_CONFIG, torch.device("cpu"), pytest.fail)
    for step in (18, 19):
        first_steps(step)


def examples(*classes: str) -> dict[str, Any]:
    """Images as the quick preset prepares them."""
    return {"resolution": 8, "channels": 1, "classes": list(classes)}


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_step_of_the_proposed_training_is_timed(accumulation: int) -> None:
    settings = presets.load(PRESETS / "quick.yaml")
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"accumulation": accumulation})})
    found = estimate.measure(settings, examples("a", "b"), "cpu")
    assert found.images_per_second > 0
    assert found.device == "cpu"
    unlabelled = dataclasses.replace(estimate.measure(settings, examples(), "cpu"), images_per_second=1)
    assert 0 < found.parameters - unlabelled.parameters < found.parameters / 2
