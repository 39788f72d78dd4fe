"""Device, precision and determinism of torch, none of which is a parameter of the model."""

import contextlib
import os

import torch


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of a name; `auto` is CUDA if available, else the CPU. Raises ValueError if it cannot be used.

    A process started by torchrun gets the CUDA device of its local rank.
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
    """Make repeated runs on one machine bit-identical, at the cost of slower kernels on a GPU.

    `torch.use_deterministic_algorithms` would do the same and import torch's compiler, which takes a second.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")
    # Else every new tensor is filled with NaN, which helps to find bugs and costs a pass over memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def evaluation_device(name: str) -> str:
    """The device of a feature extractor; also switches on deterministic kernels. name: as for `choose_device`."""
    deterministic()
    return str(choose_device(name))


def autocast(where: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast; no autocast for fp32. fp16 is not offered: its range is too small for gradients."""
    if precision == "bf16":
        return torch.autocast(where.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def channels_last(module: torch.nn.Module) -> None:
    """Convert convolution weights to channels-last in place: faster on CPUs and on GPUs with tensor cores."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
