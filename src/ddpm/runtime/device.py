"""Device, precision, determinism and compilation of torch, none of which is a parameter of the model."""

import contextlib
import os
from collections.abc import Iterator

import torch

REDUCE_OVERHEAD = "reduce-overhead"
"""Mode of torch.compile that also records CUDA graphs, which saves the time to start each kernel of a small network."""
AMPERE = 8
"""First compute capability of NVIDIA GPUs with TF32."""


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


def deterministic(*, on: bool = True) -> None:
    """Make repeated runs on one machine bit-identical, at the cost of slower kernels on a GPU.

    on: False lets cuDNN time its algorithms and choose the fastest, so that repeated runs may differ in bits.
    `torch.use_deterministic_algorithms` would do the same and import torch's compiler, which takes a second.
    """
    if not on:
        torch.set_deterministic_debug_mode("default")
        torch.backends.cudnn.benchmark = True
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")
    # Else every new tensor is filled with NaN, which helps to find bugs and costs a pass over memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def evaluation_device(name: str) -> str:
    """The device of a feature extractor; also switches on deterministic, exact kernels. name: as for `choose_device`.

    Exact: by default, torch rounds the inputs of float32 convolutions on a GPU to TF32.
    """
    deterministic()
    use_tf32(on=False)
    return str(choose_device(name))


def require_supported(where: torch.device, precision: str, compiling: bool | str, section: str) -> None:
    """Raise ValueError if the device cannot compute in this precision, or compile in this mode.

    compiling: as for `compile_network`. section: of params.yaml that has the parameters, for the message.
    """
    if precision == "tf32":
        if where.type != "cuda" or torch.version.hip:
            raise ValueError(
                f"{section}.precision = tf32 needs an NVIDIA GPU, and the device is {where}; use fp32, or bf16"
            )
        major, minor = torch.cuda.get_device_capability(where)
        if major < AMPERE:
            raise ValueError(
                f"{section}.precision = tf32 needs compute capability {AMPERE}.0 (Ampere) or higher, and {where} has "
                f"{major}.{minor}; use fp32"
            )
    if compiling == REDUCE_OVERHEAD and where.type != "cuda":
        raise ValueError(
            f"{section}.compile = {REDUCE_OVERHEAD} records CUDA graphs, and the device is {where}; use true, or false"
        )


def use_tf32(*, on: bool) -> None:
    """Let float32 matrix products and convolutions on NVIDIA GPUs round their inputs to TF32, or compute exactly.

    torch's own default is TF32 for convolutions only. TF32 has the range of float32 and 10 bits of mantissa.
    """
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


@contextlib.contextmanager
def computing(where: torch.device, precision: str) -> Iterator[None]:
    """Compute forward passes in a precision (fp32, tf32 or bf16) while the block runs; restores TF32 afterwards."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    use_tf32(on=precision == "tf32")
    try:
        with autocast(where, precision):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def autocast(where: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast; no autocast for fp32 and tf32. fp16 is not offered: its range is too small for gradients."""
    if precision == "bf16":
        return torch.autocast(where.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def compile_network(net: torch.nn.Module, compiling: bool | str) -> None:
    """Compile a network in place for static shapes: one graph for each batch size. Takes minutes at the first passes.

    compiling: False for none, True for torch's default mode, or REDUCE_OVERHEAD.
    """
    if compiling:
        net.compile(dynamic=False, mode=REDUCE_OVERHEAD if compiling == REDUCE_OVERHEAD else None)


def uncompiled(net: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
    """Run a compiled network eagerly while the block runs, for shapes that are not worth a graph."""
    if getattr(net, "_compiled_call_impl", None) is None:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def channels_last(module: torch.nn.Module) -> None:
    """Convert convolution weights to channels-last in place: faster on CPUs and on GPUs with tensor cores."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
