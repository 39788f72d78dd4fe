"""Muon: orthogonalisation against singular values and a plain iteration, its parameters by role, one step by hand."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm.model import build
from ddpm.nets.layers import Embedding
from ddpm.training import loop, muon, optimizers
from tests.support import tiny
from tests.support.tiny_training import run

SHAPES = [(32, 32), (64, 576), (256, 64), (1, 9), (12, 1)]


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    return muon.orthogonalised(matrix[None])[0]


def direction(update: torch.Tensor) -> torch.Tensor:
    return muon.directions([update])[0]


def iterated(matrix: Tensor) -> Tensor:
    """The published iteration, as written, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.float()


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_published_iteration(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    torch.testing.assert_close(orthogonalised(matrix), iterated(matrix), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 576), (256, 64), (1, 9), (12, 1)])
def test_singular_values_end_near_one_and_singular_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    within = u.T @ orthogonalised(matrix) @ v.T
    values = within.diagonal()
    assert values.min() > 0.65
    assert values.max() < 1.25
    torch.testing.assert_close(within, values.diag(), rtol=0, atol=1e-4)


def test_small_singular_values_are_raised_in_float32() -> None:
    """Down to a thousandth of the norm, though the steps run on the square of the matrix."""
    u, v = torch.linalg.qr(gaussian(8, 8))[0], torch.linalg.qr(gaussian(72, 8))[0]
    values = torch.logspace(0, -4, 8)
    matrix = u @ values.diag() @ v.T
    torch.testing.assert_close(orthogonalised(matrix), iterated(matrix), rtol=0, atol=1e-3)
    ends = torch.linalg.svdvals(orthogonalised(matrix))
    assert ((ends > 0.3) == (values.sort(descending=True).values > 1e-3)).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_scale_of_a_gradient_does_not_matter(scale: float) -> None:
    torch.testing.assert_close(orthogonalised(gaussian(4, 6) * scale), iterated(gaussian(4, 6)), rtol=1e-3, atol=1e-3)


def test_a_gradient_of_zeros_stays_zero() -> None:
    """Such as that of the first convolution of a block whose second one starts at zero."""
    assert not orthogonalised(torch.zeros(4, 6)).any()


def test_a_convolution_is_the_matrix_of_its_outputs_and_patches() -> None:
    """In either memory format, and with the factor sqrt(rows / columns) where there are more rows."""
    weight = gaussian(16, 3, 3, 3)
    expected = iterated(weight.reshape(16, 27)).view(16, 3, 3, 3)
    torch.testing.assert_close(direction(weight), expected, rtol=1e-4, atol=1e-4)
    last = direction(weight.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.contiguous(), direction(weight))
    tall = gaussian(64, 4, 1, 1)
    expected = 4 * iterated(tall.view(64, 4).T).T.reshape(tall.shape)
    torch.testing.assert_close(direction(tall), expected, rtol=1e-3, atol=1e-3)


def test_two_steps_by_hand() -> None:
    """Nesterov momentum 0.95, decoupled decay, a rate for each group; AdamW's part is torch's own."""
    hidden, other = nn.Parameter(gaussian(4, 6)), nn.Parameter(gaussian(5))
    twin = nn.Parameter(other.detach().clone())
    ours = muon.Muon([hidden], [other], muon_lr=0.1, lr=0.01, betas=(0.9, 0.99), weight_decay=0.5, fused=True)
    theirs = torch.optim.AdamW([twin], 0.01, (0.9, 0.99), weight_decay=0.5, fused=True)
    expected, momentum = hidden.detach().clone(), torch.zeros(4, 6)
    for step in range(2):
        hidden.grad, other.grad = gaussian(4, 6) + step, gaussian(5) * (step + 1)
        twin.grad = other.grad.clone()
        momentum = 0.95 * momentum + 0.05 * hidden.grad
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * iterated(0.05 * hidden.grad + 0.95 * momentum)
        ours.step()
        theirs.step()
        torch.testing.assert_close(hidden.detach(), expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(other, twin)
    assert len(ours.param_groups) == 2


def net(kind: str) -> nn.Module:
    nets: dict[str, dict[str, Any]] = {
        "unet": tiny.CONFIG["net"],
        "residual": {**tiny.CONFIG["net"], "resample": "residual"},
        "dit": {"kind": "dit", "patch": 2, "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 4, "dropout": 0.0},
        "plain": {"kind": "plain", "channels": 8, "levels": 2, "blocks": 1, "skips": True, "groups": 4, "patch": 1},
        "plain of one level": {"kind": "plain", "channels": 8, "levels": 1, "blocks": 1, "skips": True, "groups": 4,
                               "patch": 1},
    }  # fmt: skip
    return build.denoiser(tiny.typed({**tiny.CONFIG, "net": nets[kind]})).net


@pytest.mark.parametrize("kind", ["unet", "residual", "dit", "plain", "plain of one level"])
def test_parameters_go_by_their_role(kind: str) -> None:
    """AdamW has the layers that read or write pixels, embeddings, gains and biases; Muon has the rest."""
    network = net(kind)
    hidden = set(map(id, build.hidden_weights(network)))
    embedded = {id(each) for part in network.modules() if isinstance(part, Embedding) for each in part.parameters()}
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    outer = [layer.weight for layer in layers if id(layer.weight) not in hidden | embedded]
    assert hidden
    assert all(each.ndim in {2, 4} for each in network.parameters() if id(each) in hidden)
    assert not hidden & embedded
    assert not any(id(layer.bias) in hidden for layer in layers)
    first, *_, last = outer
    assert first.shape[1] == 1  # channels of an image
    assert last.shape[0] in {1, 4}  # and those of a patch of 2
    assert len(outer) == (3 if kind == "dit" else 2)  # a transformer modulates its last layer


def test_every_parameter_is_in_one_group() -> None:
    training = tiny.training(optimizer="muon")
    grouped = [id(each) for group in training.optimizer.param_groups for each in group["params"]]
    assert sorted(grouped) == sorted(map(id, training.denoiser.parameters()))


def test_each_group_follows_the_schedule_from_its_own_peak() -> None:
    training = tiny.training(optimizer="muon")
    run(training)
    last = tiny.TRAIN_CONFIG.steps - 1
    share = loop.learning_rate(tiny.TRAIN_CONFIG, last * tiny.TRAIN_CONFIG.batch) / tiny.TRAIN_CONFIG.lr
    assert 0 < share < 1
    peaks = [tiny.OPTIMIZER.muon_lr, tiny.OPTIMIZER.lr]
    assert [group["lr"] for group in training.optimizer.param_groups] == pytest.approx([share * peak for peak in peaks])


def test_an_unknown_optimizer() -> None:
    with pytest.raises(KeyError, match="lion"):
        optimizers.optimizer(tiny.training().denoiser, "lion", tiny.OPTIMIZER)


def test_importing_it_does_not_import_the_distributed_tensors() -> None:
    """They take a second."""
    code = "import sys, ddpm.training.optimizers; print('torch.distributed.tensor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_updates_of_one_shape_are_orthogonalised_together_as_each_alone() -> None:
    updates = [gaussian(6, 3 * 9).view(6, 3, 3, 3) * scale for scale in (1.0, 0.01, 30.0)]
    for each, found in zip(updates, muon.directions(updates), strict=True):
        torch.testing.assert_close(found, direction(each), rtol=1e-4, atol=1e-4)
