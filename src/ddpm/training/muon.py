"""Muon: momentum, orthogonalised, for matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

`torch.optim.Muon` takes 2-D parameters only and has no fused AdamW for the others.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ddpm.runtime.sharded_tensors import distribute_like, full_tensor, local_tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""As published: chosen for their slope at 0, so that singular values end between about 0.7 and 1.2, not at 1."""
STEPS = 5
MOMENTUM = 0.95
EPSILON = 1e-7  # of the norm; a gradient of zeros stays zero


def orthogonalised(matrices: Tensor) -> Tensor:
    """Move all singular values of matrices (N, rows, columns) to about 1 by five quintic Newton-Schulz steps.

    A step is `X <- (a + b A + c A^2) X` with `A = X X^T`. All factors are polynomials of the first A and commute, so
    that the steps are taken on the small square A alone, and X is multiplied by their product once.
    """
    rows, columns = matrices.shape[1:]
    x = matrices.mT if rows > columns else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + EPSILON)
    gram = x @ x.mT
    product = factor = _factor(gram)
    for _ in range(STEPS - 1):
        gram = factor @ (factor @ gram)
        factor = _factor(gram)
        product = factor @ product
    result: Tensor = product @ x
    return result.mT if rows > columns else result


def _factor(gram: Tensor) -> Tensor:
    """`a + b A + c A^2`."""
    a, b, c = COEFFICIENTS
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


def directions(updates: Sequence[Tensor]) -> list[Tensor]:
    """Orthogonalise updates of one shape together, with their scale: the same shapes and memory formats.

    updates: (out, in), (out, in, length) or (out, in, height, width), taken as (out, all others).
    Matrices with more rows than columns get the factor sqrt(rows / columns).
    """
    matrices = torch.stack([each.flatten(1) for each in updates])
    scale = max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
    found = (scale * orthogonalised(matrices)).unbind()
    return [torch.empty_like(each).copy_(new.view(each.shape)) for each, new in zip(updates, found, strict=True)]


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for `hidden` weights; AdamW for all `others`.

    hidden: 2-D to 4-D weights. Sharded weights keep sharded momentum; each process gathers one update at a time and
    orthogonalises it whole. Weight decay is decoupled in both groups.
    """

    def __init__(
        self,
        hidden: Sequence[Tensor],
        others: Sequence[Tensor],
        *,
        muon_lr: float,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        fused: bool,
    ) -> None:
        self.adamw = torch.optim.AdamW(others, lr, betas, weight_decay=weight_decay, fused=fused)
        matrices = {
            "params": list(hidden), "lr": muon_lr, "lr_factor": muon_lr / lr, "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__([matrices, self.adamw.param_groups[0]], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: no loss is needed
        """Update all parameters that have a gradient once."""
        matrices, others = self.param_groups
        weights = [weight for weight in matrices["params"] if weight.grad is not None]
        for group in _together(weights):
            updates = [full_tensor(self._momentum(weight)) for weight in group]
            for weight, update in zip(group, directions(updates), strict=True):
                weight.mul_(1 - matrices["lr"] * matrices["weight_decay"])
                local_tensor(weight).add_(local_tensor(distribute_like(update, weight)), alpha=-matrices["lr"])
        self.adamw.param_groups, self.adamw.state = [others], self.state  # loading a state has replaced both
        self.adamw.step()

    def _momentum(self, weight: Tensor) -> Tensor:
        """Update the momentum of a weight, and return its Nesterov update."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - MOMENTUM)
        return torch.lerp(cast(Tensor, weight.grad), momentum, MOMENTUM)


def _together(weights: Sequence[Tensor]) -> list[list[Tensor]]:
    """Group weights by shape, for fewer and larger products; sharded ones stay alone, to be gathered one at a time."""
    groups: dict[object, list[Tensor]] = {}
    for number, weight in enumerate(weights):
        sharded = local_tensor(weight) is not weight
        groups.setdefault(number if sharded else weight.shape, []).append(weight)
    return list(groups.values())
