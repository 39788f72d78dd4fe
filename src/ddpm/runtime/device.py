"""Device, precision and determinism of torch. None of it is a parameter of the model."""

import contextlib
import os

import torch


def choose_device(name: str = "auto") -> torch.device:
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
    """Make equal runs equal to the bit on one machine; slower kernels are the price on a GPU.

    `torch.use_deterministic_algorithms` would do the same and import torch's compiler, which takes a second.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")
    # Else every new tensor is filled with NaN, which helps to find bugs and costs a pass over memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def evaluation_device(name: str) -> str:
    """The device of a feature extractor, with deterministic kernels switched on. name: as for `choose_device`."""
    deterministic()
    return str(choose_device(name))


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
