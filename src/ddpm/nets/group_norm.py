"""GroupNorm, optional scale and shift, and SiLU in one differentiable step.

torch's GroupNorm is slow on a CPU for channels-last tensors with few channels in a group, since its inner loop runs
over those channels. Sums over pixels and products of whole tensors are faster there, and folding scale and shift into
the normalisation saves their passes over memory.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ddpm.nets.dimensions import per_position

FEW_CHANNELS, FEW_PIXELS = 8, 128  # measured on AVX-512: channels of a group, pixels of an image


def norm_silu(norm: nn.GroupNorm, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """`silu(norm(x) * (1 + scale) + shift)`: x (B, C, ...), scale and shift (B, C) or both None; returns x's shape."""
    if _gains(norm, x, scale is not None):
        apply = cast(Callable[..., Tensor], _NormSilu.apply)  # torch has no type for it
        return apply(x, norm.weight, norm.bias, scale, shift, norm.num_groups, norm.eps)
    hidden: Tensor = norm(x)
    if scale is not None and shift is not None:
        hidden = hidden * (1 + per_position(scale, x)) + per_position(shift, x)
    return functional.silu(hidden)


def _gains(norm: nn.GroupNorm, x: Tensor, scaled: bool) -> bool:
    """Return True where the fused step is faster: for channels-last float32 on the CPU, outside torch's compiler."""
    if x.ndim != 4 or x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return False
    return x[0, 0].numel() >= FEW_PIXELS and (scaled or x.shape[1] // norm.num_groups < FEW_CHANNELS)


class _NormSilu(torch.autograd.Function):
    """The step with its derivative (Wu and He 2018, equation 1, and its chain rule).

    With m and r the mean and 1 / deviation of a group, `hidden = gain * x + offset` per image and channel, where
    `gain = r * weight * (1 + scale)` and `offset = (bias - m * r * weight) * (1 + scale) + shift`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        groups: int,
        epsilon: float,
    ) -> Tensor:
        batch, channels = x.shape[:2]
        count = x[0].numel() // groups
        sums = torch.stack([x.sum((2, 3)), x.square().sum((2, 3))])  # (2, B, C)
        mean, square = sums.view(2, batch, groups, -1).sum(3, keepdim=True).div_(count)  # each (B, groups, 1)
        inverse = torch.addcmul(square, mean, mean, value=-1).clamp_(min=0).add_(epsilon).rsqrt_()
        gain = inverse * weight.view(groups, -1)  # (B, groups, C / groups)
        offset = torch.addcmul(bias.view(groups, -1), mean, gain, value=-1)
        gain, offset = gain.view(batch, channels), offset.view(batch, channels)
        if scale is not None and shift is not None:
            gain, offset = torch.addcmul(gain, gain, scale), torch.addcmul(shift, offset, 1 + scale)
        hidden = torch.addcmul(offset[:, :, None, None], x, gain[:, :, None, None])
        ctx.save_for_backward(x, hidden, gain, mean, inverse, weight, bias, scale)
        return functional.silu(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, gain, mean, inverse, weight, bias, scale = ctx.saved_tensors
        batch, channels = x.shape[:2]
        groups = inverse.shape[1]
        grad = torch.ops.aten.silu_backward(grad, hidden)  # of hidden
        total = grad.sum((2, 3))  # (B, C)
        along = (grad * x).sum((2, 3))
        # of the normalised x: sum of grad * (x - mean) / deviation
        along = torch.addcmul(along.view(batch, groups, -1), total.view(batch, groups, -1), mean, value=-1) * inverse
        along = along.view(batch, channels)
        means = torch.stack([total * gain, along * gain]).view(2, batch, groups, -1).sum(3, keepdim=True)
        of_mean, of_deviation = means.div_(-x[0].numel() // groups)
        slope = inverse * of_deviation  # (B, groups, 1)
        constant = torch.addcmul(of_mean, mean, slope, value=-1)
        each = torch.stack([constant, slope]).expand(-1, -1, -1, channels // groups).reshape(2, batch, channels, 1, 1)
        grad_x = torch.addcmul(each[0], x, each[1]).addcmul_(grad, gain[:, :, None, None])
        if scale is None:
            return grad_x, along.sum(0), total.sum(0), None, None, None, None
        one = 1 + scale
        grad_scale = torch.addcmul(along * weight, total, bias)
        return grad_x, (along * one).sum(0), (total * one).sum(0), grad_scale, total, None, None
