"""A training step that never waits for its device, and the checks that wait for it between steps."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm.model import build
from ddpm.training import loop, optimizers, state
from ddpm.training.batches import Batch, Loader
from ddpm.training.data_parallel import SINGLE_PROCESS
from ddpm.training.unread import UnreadSteps
from tests.support import tiny
from tests.support.tiny_training import run

RECIPE = replace(tiny.TRAIN_CONFIG, images=400, log_every=200, sample_every=400, checkpoint_every=400)
LEARNED = {**tiny.CONFIG["diffusion"], "variance": "learned"}


class Transfers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts reads of single numbers, and copies from one device to another by their ends."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense":
            self.seen[name] += 1
        elif name in {"_to_copy", "copy_"}:
            source = args[1] if name == "copy_" else args[0]
            if source.device != result.device:
                self.seen[f"{source.device.type} to {result.device.type}"] += 1
        return result


def on_meta(config: dict[str, Any], optimizer: str) -> state.State:
    """A training on the meta device, which computes nothing and raises an error for any read of its memory."""
    with torch.device("cpu"):
        denoiser = build.denoiser(tiny.typed(config)).to("meta")
    ema = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    chosen = optimizers.optimizer(denoiser, optimizer, optimizers.Settings(lr=1e-3, weight_decay=0.01, beta2=0.99))
    return state.State(denoiser, ema, chosen)


@pytest.mark.parametrize("optimizer", list(optimizers.OPTIMIZERS))
@pytest.mark.parametrize(
    "config",
    [tiny.CONFIG, tiny.enlarging(), {**tiny.CONFIG, "diffusion": LEARNED}],
    ids=["plain", "enlarging", "learned-variance"],
)
def test_steps_read_nothing_from_their_device(optimizer: str, config: dict[str, Any]) -> None:
    training = on_meta(config, optimizer)
    recipe = replace(RECIPE, accumulation=2, condition_scale=2 if config == tiny.enlarging() else 0)
    with Loader(tiny.data(), recipe, training.denoiser.process.draw, torch.device("meta")) as loader:
        training.denoiser.process.time(torch.empty(1, device="meta"))  # the table goes to the device once
        for step in range(3):
            with Transfers() as transfers:
                values = loop.train_step(training, loader.batches(step), recipe)
            assert values.loss.device.type == values.norm.device.type == "meta"
            # images, levels, flips, positions, labels: copied once a step, however many micro-batches
            assert {name: n for name, n in transfers.seen.items() if name != "_local_scalar_dense"} == {
                "cpu to meta": 5
            }


def test_a_set_on_the_device_is_indexed_there() -> None:
    training, data = on_meta(tiny.CONFIG, "adamw"), tiny.data()
    there = replace(data, images=data.images.to("meta"))
    with Loader(there, RECIPE, training.denoiser.process.draw, torch.device("meta")) as loader, Transfers() as seen:
        (batch,) = loader.batches(0)
    assert batch.x.shape == (8, 1, 8, 8)
    assert seen.seen == {"cpu to meta": 5}  # indices in place of images


def test_numbers_are_read_at_log_points_only() -> None:
    at: list[int] = []
    training = tiny.training()

    def log(images: int, values: dict[str, float]) -> None:
        at.append(transfers.seen["_local_scalar_dense"])

    with Transfers() as transfers:
        run(training, RECIPE, log=log)
    assert (training.step, len(at)) == (50, 2)
    assert at == [0, 0]  # what a log point reads, it reads in one copy
    assert transfers.seen["_local_scalar_dense"] == 0


def test_a_thread_prepares_the_same_batches() -> None:
    cpu = torch.device("cpu")

    def draw(ahead: bool, steps: list[int]) -> list[Batch]:
        with Loader(tiny.data(), RECIPE, lambda u: u, cpu, ahead=ahead) as loader:
            return [batch for step in steps for batch in loader.batches(step)]

    for steps in ([0, 1, 2, 3], [7, 8, 3, 4], [49]):
        for one, other in zip(draw(False, steps), draw(True, steps), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None)


def test_an_error_of_the_thread_ends_the_training() -> None:
    def broken(u: torch.Tensor) -> torch.Tensor:
        raise ValueError("no levels")

    with Loader(tiny.data(), RECIPE, broken, torch.device("cpu"), ahead=True) as loader:
        loader.next = 0, loader.thread.submit(loader.choose, 0)  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="no levels"):
            list(loader.batches(0))


def broken_at(training: state.State, step: int) -> None:
    """Make the gradient infinite at one step."""

    def broken(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * (math.inf if training.step == step else 1)

    next(training.denoiser.parameters()).register_hook(broken)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("optimizer", list(optimizers.OPTIMIZERS))
@pytest.mark.parametrize(
    ("point", "every"), [("save", "checkpoint_every"), ("preview", "sample_every"), ("log", "log_every")]
)
def test_nothing_is_written_after_a_step_that_is_not_finite(optimizer: str, point: str, every: str) -> None:
    training, seen = tiny.training(optimizer=optimizer), []
    broken_at(training, 7)  # in the middle between two points of any kind
    recipe = replace(RECIPE, **{"log_every": 400, every: 40})  # type: ignore[arg-type]
    hooks: dict[str, Any] = {point: lambda *values: seen.append(training.step)}
    with pytest.raises(loop.NotFiniteError, match=r"gradient is not finite at step 7 \(sigma from"):
        run(training, recipe, **hooks)
    assert seen == [5]
    assert training.step == 10  # the next point


def test_a_snapshot_and_a_stop_check_first() -> None:
    each: list[dict[str, Any]] = [{"snapshot": lambda now: pytest.fail("written")}, {"stop_at": 9}]
    for hooks in each:
        training = tiny.training()
        broken_at(training, 3)
        recipe = replace(RECIPE, snapshots=4)
        assert recipe.snapshot_steps[0] > 3
        with pytest.raises(loop.NotFiniteError, match="step 3"):
            run(training, recipe, save=lambda now: pytest.fail("written"), **hooks)


def test_the_first_bad_step_is_reported_with_its_levels() -> None:
    loader = Loader(tiny.data(), RECIPE, tiny.training().denoiser.process.draw, torch.device("cpu"))
    unread = UnreadSteps(SINGLE_PROCESS)
    assert unread.read() == []
    training = tiny.training()
    for step in range(3):
        batches = list(loader.batches(step))
        if step == 1:
            batches[0].x[2] = math.nan
            level = batches[0].sigma[2].item()
        unread.add(loop.train_step(training, batches, RECIPE))
    with pytest.raises(loop.NotFiniteError, match=rf"loss is not finite at step 1, for sigma {level:.4g}\. "):
        unread.read()
