"""Where and how torch runs: device, precision, determinism. None of it is a parameter of the model."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Gather = Callable[[NDArray[Any]], list[NDArray[Any]]]


def device(name: str = "auto") -> torch.device:
    """`auto` is the first CUDA device, or the CPU. Raises ValueError for a device that is not there.

    Of several processes that torchrun started, each has the device of its own number on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
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


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that processes divide among them, gathered (all of them must ask for it); any other as it is."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, _divided()) else tensor
    return full


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor that processes divide among them, sharing its memory; any other as it is."""
    part: torch.Tensor = tensor.to_local() if isinstance(tensor, _divided()) else tensor
    return part


def placed(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`value`, which is whole, as `like` lies: on its device, in its memory format, divided as it is."""
    if not isinstance(like, _divided()):
        return torch.empty_like(like).copy_(value)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _divided() -> tuple[Any, ...]:
    """The type of a tensor that processes divide; its module takes a second to import, so it is asked for by need."""
    module = sys.modules.get("torch.distributed.tensor")
    return (module.DTensor,) if module else ()


@contextlib.contextmanager
def processes() -> Iterator[tuple[int, int, Gather]]:
    """This process's number among those that torchrun started, their count, and how to gather arrays from all.

    Arrays may differ in length along the first axis, and nothing else. Started otherwise, it is the only one.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield 0, 1, lambda array: [array]
        return
    on_gpus = int(os.environ.get("LOCAL_RANK", "0")) < torch.cuda.device_count()
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # gloo carries what is agreed on; tensors of a model on GPUs go by nccl
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
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
