"""Where and how torch runs: device, precision, determinism. None of it is a parameter of the model."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Gather = Callable[[NDArray[Any]], list[NDArray[Any]]]


def device(name: str = "auto") -> torch.device:
    """`auto` is the first CUDA device, or the CPU. Raises ValueError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name} cannot be used here ({error}); use auto or cpu") from error
    return chosen


def deterministic() -> None:
    """Make equal runs equal to the bit on one machine; slower kernels are the price on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def autocast(where: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast, or nothing for fp32. fp16 is not offered: its range loses gradients (and whole runs)."""
    if precision == "bf16":
        return torch.autocast(where.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def channels_last(module: torch.nn.Module) -> None:
    """Lay convolution weights out with channels innermost, in place: faster on CPUs and on GPUs with tensor cores."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def processes() -> Iterator[tuple[int, int, Gather]]:
    """This process's number among those that torchrun started, their count, and how to gather arrays from all.

    Arrays may differ in length along the first axis, and nothing else. Started otherwise, it is the only one.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield 0, 1, lambda array: [array]
        return
    torch.distributed.init_process_group("gloo")
    try:
        yield torch.distributed.get_rank(), count, _gather
    finally:
        torch.distributed.destroy_process_group()


def _gather(array: NDArray[Any]) -> list[NDArray[Any]]:
    """The array of each process, in the order of their numbers. Plain tensors: nothing is pickled."""
    count = torch.distributed.get_world_size()
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(count)]
    torch.distributed.all_gather(lengths, torch.tensor([len(array)]))
    longest = max(int(length) for length in lengths)
    padded = torch.zeros((longest, *array.shape[1:]), dtype=torch.from_numpy(array).dtype)
    padded[: len(array)] = torch.from_numpy(np.ascontiguousarray(array))
    gathered = [torch.zeros_like(padded) for _ in range(count)]
    torch.distributed.all_gather(gathered, padded)
    return [each[: int(length)].numpy() for each, length in zip(gathered, lengths, strict=True)]
