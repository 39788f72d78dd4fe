"""The diffusion transformer (DiT, Peebles and Xie 2023): patches as tokens, time and class by adaLN-zero."""

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    """`F(x, t, labels)`: x (B, inputs, H, W), t (B,) float, labels (B,) int64 or None; (B, outputs, H, W) float32.

    resolution: H = W, divisible by `patch`. classes: labels including the one for none, or 0. width: of a token,
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
    ) -> None:
        super().__init__()
        self.patch = patch
        self.patchify = nn.Conv2d(inputs, width, patch, stride=patch)
        nn.init.xavier_uniform_(self.patchify.weight.data.flatten(1))  # as of a linear layer of patches
        self.embedding = Embedding(WAVES, width, classes)
        for parameter in self.embedding.parameters():
            nn.init.normal_(parameter, std=0.02 if parameter.ndim == 2 else 0.0)
        self.blocks = nn.ModuleList([Block(width, heads, mlp_ratio, dropout) for _ in range(depth)])
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.project = zeroed(nn.Linear(width, patch**2 * outputs))
        self.register_buffer("positions", positions(resolution // patch, width), persistent=False)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the class."""
        embedding = self.embedding(time, labels)
        patches = self.patchify(x)  # (B, width, H / patch, W / patch)
        height, width = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens, embedding)
        shift, scale = self.modulation(functional.silu(embedding))[:, None].chunk(2, dim=2)
        pixels = self.project(_modulated(tokens, shift, scale))  # (B, N, patch * patch * outputs), channels innermost
        pixels = pixels.view(len(x), height, width, self.patch, self.patch, -1).permute(0, 5, 1, 3, 2, 4)
        result: Tensor = pixels.reshape(len(x), -1, height * self.patch, width * self.patch).float()
        return result


def started(layer: nn.Linear) -> nn.Linear:
    """First weights of what is not zeroed, as published: Xavier's, uniform, and no bias."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def positions(side: int, width: int) -> Tensor:
    """Where each of side x side tokens lies, row by row: (side^2, width) float32.

    The first half of the channels tells the column, the second the row, each by sines and cosines of `width / 4`
    frequencies from 1 towards 1/10000.
    """
    quarter = width // 4
    frequencies = 10000.0 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    columns, rows = line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).flatten(0, 1).float()


def _modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without weights of its own, scaled and shifted."""
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=EPSILON) * (1 + scale) + shift
