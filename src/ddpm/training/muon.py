"""Muon: momentum, orthogonalised, for matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

`torch.optim.Muon` takes 2-D parameters only and has no fused AdamW for the others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm.runtime.sharded_tensors import distribute_like, full_tensor, local_tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""As published: chosen for their slope at 0, so that singular values end between about 0.7 and 1.2, not at 1."""
STEPS = 5
MOMENTUM = 0.95
EPSILON = 1e-7  # of the norm; a gradient of zeros stays zero


def orthogonalised(matrix: Tensor) -> Tensor:
    """Move all singular values of a matrix (rows, columns) to about 1 by five quintic Newton-Schulz steps.

    A step is `X <- (a + b A + c A^2) X` with `A = X X^T`. All factors are polynomials of the first A and commute, so
    that the steps are taken on the small square A alone, and X is multiplied by their product once.
    """
    rows, columns = matrix.shape
    x = matrix.T if rows > columns else matrix
    x = x / (x.norm() + EPSILON)
    gram = x @ x.T
    product = factor = _factor(gram)
    for _ in range(STEPS - 1):
        gram = factor @ (factor @ gram)
        factor = _factor(gram)
        product = factor @ product
    result: Tensor = product @ x
    return result.T if rows > columns else result


def _factor(gram: Tensor) -> Tensor:
    """`a + b A + c A^2`."""
    a, b, c = COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


def direction(update: Tensor) -> Tensor:
    """Orthogonalise the update of a weight, with its scale: the same shape and memory format.

    update: (out, in) or (out, in, height, width), taken as (out, in * height * width). A matrix with more rows than
    columns gets the factor sqrt(rows / columns).
    """
    matrix = update.flatten(1)
    scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
    return torch.empty_like(update).copy_((scale * orthogonalised(matrix)).view(update.shape))


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for `hidden` weights; AdamW for all `others`.

    hidden: 2-D and 4-D weights. Sharded weights keep sharded momentum; each process gathers one update at a time and
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
        for weight in matrices["params"]:
            if weight.grad is not None:
                self._step_matrix(weight, weight.grad, matrices["lr"], matrices["weight_decay"])
        self.adamw.param_groups, self.adamw.state = [others], self.state  # loading a state has replaced both
        self.adamw.step()

    def _step_matrix(self, weight: Tensor, gradient: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
        update = direction(full_tensor(torch.lerp(gradient, momentum, MOMENTUM)))
        weight.mul_(1 - lr * weight_decay)
        local_tensor(weight).add_(local_tensor(distribute_like(update, weight)), alpha=-lr)
