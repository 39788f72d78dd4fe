"""Counter-based random numbers, drawn on any device: Philox 4x32-10 (Salmon et al. 2011) and Box-Muller.

A number is a function of its key and its counter, so there is no state to store or to transfer: each process draws
only its own images, and an image has the same noise whatever the batch and the number of processes. The words of
Philox are equal on every device; normal numbers differ by the rounding of the device's log, sine and cosine (a few
units in the last place).
"""

import math

import torch
from torch import Tensor

from ddpm.runtime.randomness import key_seed

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
"""Constants of the published generator: the golden ratio and the square root of 3, less 1."""
WORD = 0xFFFFFFFF
WORD_BITS = 32
CHUNK = 2**14
"""Counters computed at a time on the CPU: their words stay in the cache."""


def philox(counter: tuple[Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Encrypt counters with Philox 4x32-10.

    counter: words (c0, c2) and (c1, c3), each (2, N) int64 in [0, 2^32). key: two words. Returns words (r0, r2) and
    (r1, r3) in the same form.
    """
    even, odd = counter
    where = even.device
    multipliers, first, step = (_pair(each, where) for each in (MULTIPLIERS, key, INCREMENTS))
    keys = (torch.arange(ROUNDS, device=where).view(-1, 1, 1) * step).add_(first).bitwise_and_(WORD)
    for round_key in keys.unbind():
        product = even * multipliers  # modulo 2^64, hence the mask after the signed shift
        high = (product >> WORD_BITS).bitwise_and_(WORD)
        even = high.flip(0).bitwise_xor_(odd).bitwise_xor_(round_key)
        odd = product.bitwise_and_(WORD).flip(0)
    return even, odd


def normal(key: tuple[int | str, ...], rows: Tensor, draw: int, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal numbers, (B, *shape) float32 on the device of `rows`.

    key: identifies the stream, such as (seed, "noise"). rows: (B,) int64 >= 0, the index of each image in the stream.
    draw: the number of the draw for these images, below 2^32. Each image depends on key, its row, draw and shape only.
    """
    seed = key_seed(*key)
    words, size = (seed & WORD, seed >> WORD_BITS), math.prod(shape)
    blocks = -(-size // 4)
    count = max(1, CHUNK // blocks) if rows.device.type == "cpu" else max(1, len(rows))
    parts = [_normal(words, part, draw, blocks)[:, :size] for part in torch.split(rows, count)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(len(rows), *shape)


def _normal(key: tuple[int, int], rows: Tensor, draw: int, blocks: int) -> Tensor:
    """Draw four numbers for each of `blocks` counters (block, draw, row's low word, row's high word): (B, 4 blocks)."""
    even = torch.empty(2, len(rows), blocks, dtype=torch.int64, device=rows.device)
    odd = torch.empty_like(even)
    even[0] = torch.arange(blocks, device=rows.device)
    even[1] = (rows & WORD).view(-1, 1)
    odd[0] = draw
    odd[1] = (rows >> WORD_BITS).view(-1, 1)
    even, odd = philox((even.flatten(1), odd.flatten(1)), key)
    # Box-Muller; half a unit is added to the first uniform, so its logarithm is finite
    radius = even.float().mul_(2.0**-WORD_BITS).add_(2.0 ** -(WORD_BITS + 1)).log_().mul_(-2).sqrt_()
    angle = odd.float().mul_(2 * math.pi * 2.0**-WORD_BITS)
    pairs = [trigonometric(angle).mul_(radius).view(2, len(rows), blocks) for trigonometric in (torch.cos, torch.sin)]
    return torch.cat(pairs).transpose(0, 1).flatten(1)


def _pair(values: tuple[int, ...], where: torch.device) -> Tensor:
    """Two words as (2, 1) int64, filled on the device: a copy from the host would wait for it."""
    pair = torch.full((2, 1), values[0], dtype=torch.int64, device=where)
    pair[1].fill_(values[1])
    return pair
