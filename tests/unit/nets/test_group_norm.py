"""The fused normalisation equals torch's layers, and its gradients equal finite differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ddpm.nets import group_norm
from ddpm.nets.group_norm import norm_silu


def _inputs(shape: tuple[int, ...], scaled: bool, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = 0.5 + torch.randn(shape, generator=generator, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    rows = [torch.randn(shape[:2], generator=generator, dtype=dtype, requires_grad=True) for _ in range(2 * scaled)]
    return x, *rows


def _norm(groups: int, channels: int, dtype: torch.dtype = torch.float32) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    for parameter in norm.parameters():
        parameter.data = torch.randn(channels, generator=generator, dtype=dtype)
    return norm


@pytest.mark.parametrize("scaled", [True, False])
def test_equals_torch_s_layers_with_gradients(scaled: bool) -> None:
    inputs, norm = _inputs((3, 16, 12, 12), scaled), _norm(4, 16)
    assert group_norm._gains(norm, inputs[0], scaled)
    found = norm_silu(norm, *inputs)
    hidden = norm(inputs[0])
    if scaled:
        hidden = hidden * (1 + inputs[1][:, :, None, None]) + inputs[2][:, :, None, None]
    expected = functional.silu(hidden)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    leaves, upstream = (*inputs, *norm.parameters()), expected.detach().cos()
    gradients = (torch.autograd.grad(each, leaves, upstream) for each in (found, expected))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scaled", [True, False])
def test_gradients_equal_finite_differences(scaled: bool) -> None:
    x, *rows = _inputs((2, 6, 3, 2), scaled, torch.float64)
    norm = _norm(3, 6, torch.float64)
    scale, shift = rows or (None, None)
    arguments = (x, norm.weight, norm.bias, scale, shift, 3, 1e-5)
    assert torch.autograd.gradcheck(group_norm._NormSilu.apply, arguments)


def test_a_constant_group_stays_finite() -> None:
    x = torch.full((1, 4, 12, 12), 300.0).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm_silu(nn.GroupNorm(1, 4), x), torch.zeros_like(x), rtol=0, atol=0.1)


@pytest.mark.parametrize("kind", ["default order", "few pixels", "bf16"])
def test_torch_s_own_layers_are_used_elsewhere(kind: str) -> None:
    x = _inputs((2, 16, 4, 4) if kind == "few pixels" else (2, 16, 12, 12), scaled=False)[0]
    if kind == "default order":
        x = x.contiguous()
    if kind == "bf16":
        x = x.bfloat16()
    norm = _norm(4, 16, x.dtype)
    assert not group_norm._gains(norm, x, scaled=True)
    torch.testing.assert_close(norm_silu(norm, x), functional.silu(norm(x)), rtol=0, atol=0)
