"""The diffusion transformer (DiT, Peebles and Xie 2023): patches as tokens, time and class by adaLN-zero."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ddpm.nets.dimensions import CONVOLUTIONS
from ddpm.nets.layers import Embedding, attended, zeroed

WAVES = 256  # sinusoids of the time, as published
EPSILON = 1e-6  # of LayerNorm, as published


class Block(nn.Module):
    """Attention and an MLP, each normalised, scaled, shifted and gated by the embedding (figure 3 there).

    The gates start at zero, and so the block as the identity.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.query_key_value = started(nn.Linear(width, 3 * width))
        self.project = started(nn.Linear(width, width))
        self.mlp1 = started(nn.Linear(width, mlp_ratio * width))
        self.mlp2 = started(nn.Linear(mlp_ratio * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, embedding: Tensor) -> Tensor:
        """tokens (B, N, width), embedding (B, width); returns the same shape as tokens."""
        parameters = self.modulation(functional.silu(embedding))[:, None].chunk(6, dim=2)
        shift1, scale1, gate1, shift2, scale2, gate2 = parameters
        mixed = attended(self.query_key_value(_modulated(tokens, shift1, scale1)), self.heads)
        tokens = tokens + gate1 * self.dropout(self.project(mixed))
        hidden = functional.gelu(self.mlp1(_modulated(tokens, shift2, scale2)), approximate="tanh")
        result: Tensor = tokens + gate2 * self.dropout(self.mlp2(self.dropout(hidden)))
        return result


class DiT(nn.Module):
    """`F(x, t, labels)`: x (B, inputs, ...), t (B,) float, labels (B,) int64 or None; (B, outputs, ...) float32.

    dimensions: 2 for images (H, W), 1 for series (L). resolution: the length of each side, divisible by `patch`.
    classes: labels including the one for none, or 0. width: of a token,
    divisible by 4 and by `heads`. mlp_ratio: width of the hidden layers of the MLPs, in multiples of `width`.
    """

    positions: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resolution: int,
        classes: int,
        *,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.patchify = CONVOLUTIONS[dimensions](inputs, width, patch, stride=patch)
        nn.init.xavier_uniform_(self.patchify.weight.data.flatten(1))  # as of a linear layer of patches
        self.embedding = Embedding(WAVES, width, classes)
        for parameter in self.embedding.parameters():
            nn.init.normal_(parameter, std=0.02 if parameter.ndim == 2 else 0.0)
        self.blocks = nn.ModuleList([Block(width, heads, mlp_ratio, dropout) for _ in range(depth)])
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.project = zeroed(nn.Linear(width, patch**dimensions * outputs))
        self.register_buffer("positions", positions(resolution // patch, width, dimensions), persistent=False)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the class."""
        embedding = self.embedding(time, labels)
        patches = self.patchify(x)  # (B, width, H / patch, W / patch) or (B, width, L / patch)
        grid = patches.shape[2:]
        dimensions = len(grid)
        tokens = patches.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens, embedding)
        shift, scale = self.modulation(functional.silu(embedding))[:, None].chunk(2, dim=2)
        patches = self.project(_modulated(tokens, shift, scale))  # (B, N, patch^dimensions * outputs), channels last
        patches = patches.view(len(x), *grid, *[self.patch] * dimensions, -1)
        of_side = [axis for side in range(1, dimensions + 1) for axis in (side, side + dimensions)]
        result: Tensor = patches.permute(0, -1, *of_side).reshape(len(x), -1, *x.shape[2:]).float()
        return result


def started(layer: nn.Linear) -> nn.Linear:
    """First weights of what is not zeroed, as published: Xavier's, uniform, and no bias."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def positions(side: int, width: int, dimensions: int = 2) -> Tensor:
    """Where each token lies: (side, width) in one dimension, (side^2, width), row by row, in two; float32.

    In two, the first half of the channels tells the column and the second the row. A place is told by equally many
    sines and cosines, of frequencies from 1 towards 1/10000.
    """
    count = width // (2 * dimensions)
    frequencies = 10000.0 ** -(torch.arange(count, dtype=torch.float64) / count)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / dimensions)
    if dimensions == 1:
        return line.float()
    columns, rows = line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).flatten(0, 1).float()


def _modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without weights of its own, scaled and shifted."""
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=EPSILON) * (1 + scale) + shift
