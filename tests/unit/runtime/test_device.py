"""Precision and compilation of torch: what a device refuses, and that settings are restored."""

import pytest
import torch

from ddpm.runtime import device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("precision", "compiling", "message"),
    [
        ("tf32", False, "sample.precision = tf32 needs an NVIDIA GPU, and the device is cpu"),
        ("fp32", "reduce-overhead", "sample.compile = reduce-overhead records CUDA graphs, and the device is cpu"),
    ],
)
def test_a_cpu_refuses_what_only_a_gpu_has(precision: str, compiling: bool | str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        device.require_supported(CPU, precision, compiling, "sample")
    device.require_supported(CPU, "fp32", False, "sample")
    device.require_supported(CPU, "bf16", True, "sample")


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_tf32_needs_ampere(capability: tuple[int, int], *, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: capability)
    if refused:
        with pytest.raises(ValueError, match=r"compute capability 8.0 \(Ampere\) or higher, and cuda:0 has 7.5"):
            device.require_supported(GPU, "tf32", False, "train")
    else:
        device.require_supported(GPU, "tf32", "reduce-overhead", "train")


@pytest.mark.parametrize(("precision", "tf32", "product"), [
    ("fp32", False, torch.float32), ("tf32", True, torch.float32), ("bf16", False, torch.bfloat16),
])  # fmt: skip
def test_a_precision_applies_to_its_block_only(precision: str, product: torch.dtype, *, tf32: bool) -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    matrix = torch.eye(2)
    with device.computing(CPU, precision):
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (tf32, tf32)
        assert (matrix @ matrix).dtype == product
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert (matrix @ matrix).dtype == torch.float32


def test_deterministic_kernels_are_switched_on_and_off() -> None:
    try:
        device.deterministic()
        assert (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark) == (2, False)
        device.deterministic(on=False)
        assert (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark) == (0, True)
    finally:
        torch.backends.cudnn.benchmark = False
