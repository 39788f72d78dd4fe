"""The process group of torchrun, and gathering of arrays from its processes."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Gather = Callable[[NDArray[Any]], list[NDArray[Any]]]


@contextlib.contextmanager
def process_group() -> Iterator[tuple[int, int, Gather]]:
    """This process's rank, the world size, and a function that gathers an array from every rank, in order.

    The arrays may differ in length along the first axis only. A process that torchrun did not start has rank 0 of 1.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield 0, 1, lambda array: [array]
        return
    on_gpus = int(os.environ.get("LOCAL_RANK", "0")) < torch.cuda.device_count()
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # gloo for arrays and control values on the CPU, nccl for the model's tensors on GPUs
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    try:
        yield torch.distributed.get_rank(), count, _gather
    finally:
        torch.distributed.destroy_process_group()


def _gather(array: NDArray[Any]) -> list[NDArray[Any]]:
    """The array of each process, in the order of ranks. As plain tensors, so nothing is pickled."""
    count = torch.distributed.get_world_size()
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(count)]
    torch.distributed.all_gather(lengths, torch.tensor([len(array)]))
    longest = max(int(length) for length in lengths)
    padded = torch.zeros((longest, *array.shape[1:]), dtype=torch.from_numpy(array).dtype)
    padded[: len(array)] = torch.from_numpy(np.ascontiguousarray(array))
    gathered = [torch.zeros_like(padded) for _ in range(count)]
    torch.distributed.all_gather(gathered, padded)
    return [each[: int(length)].numpy() for each, length in zip(gathered, lengths, strict=True)]
