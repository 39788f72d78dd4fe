"""Philox against the published vectors and a scalar implementation; normal numbers against their distribution."""

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats

from ddpm.runtime import philox, randomness

VECTORS = [
    # Random123 1.14, tests/kat_vectors: counter, key, result
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def scalar(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox 4x32-10 in Python integers, after the paper's figure."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = q // 2**32 ^ b ^ k, q % 2**32, p // 2**32 ^ d ^ m, p % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


def encrypted(counters: list[tuple[int, ...]], key: tuple[int, int]) -> list[tuple[int, ...]]:
    words = torch.tensor(counters).T
    even, odd = philox.philox((words[[0, 2]], words[[1, 3]]), key)
    return list(zip(*(row.tolist() for row in (even[0], odd[0], even[1], odd[1])), strict=True))


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert scalar(counter, key) == expected
    assert encrypted([counter], key) == [expected]


def test_random_counters_equal_the_scalar_implementation() -> None:
    words = torch.randint(0, 2**32, (200, 4), generator=torch.Generator().manual_seed(0))
    counters = [tuple(row) for row in words.tolist()]
    key = (0xDEADBEEF, 0x01234567)
    assert encrypted(counters, key) == [scalar(counter, key) for counter in counters]


def test_normal_numbers_are_box_muller_of_the_words_of_their_counters() -> None:
    row, draw, shape = 2**40 + 5, 7, (1, 3, 3)
    seed = randomness.key_seed("test")
    key, blocks = (seed % 2**32, seed // 2**32), 3
    words = [scalar((block, draw, row % 2**32, row // 2**32), key) for block in range(blocks)]
    pairs = [(each[i], each[i + 1]) for i in (0, 2) for each in words]
    radii = [math.sqrt(-2 * math.log((a + 0.5) / 2**32)) for a, _ in pairs]
    angles = [2 * math.pi * b / 2**32 for _, b in pairs]
    cosines = [r * math.cos(angle) for r, angle in zip(radii, angles, strict=True)]
    sines = [r * math.sin(angle) for r, angle in zip(radii, angles, strict=True)]
    expected = torch.tensor([*cosines, *sines][:9]).view(1, *shape)
    torch.testing.assert_close(
        philox.normal(("test",), torch.tensor([row]), draw, shape), expected, rtol=2e-6, atol=2e-6
    )


def test_numbers_are_standard_normal_and_independent() -> None:
    drawn = philox.normal((0, "test"), torch.arange(400), 0, (3, 16, 16)).double()
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    flat = drawn.view(400, -1)
    bound = 5 / math.sqrt(flat.numel())
    for shift in (1, 2, 192, 384):  # neighbours, and words of one counter
        assert abs((flat[:, shift:] * flat[:, :-shift]).mean()) < bound
    assert abs((flat[1:] * flat[:-1]).mean()) < bound
    assert abs((flat * philox.normal((0, "test"), torch.arange(400), 1, (768,))).mean()) < bound


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 7), (1, 1, 1)])
def test_an_image_is_equal_to_the_bit_in_any_batch(shape: tuple[int, ...]) -> None:
    whole = philox.normal((1, "test"), torch.arange(200), 4, shape)
    assert whole.shape == (200, *shape)
    for size in (1, 7, 33, 200):
        parts = [philox.normal((1, "test"), part, 4, shape) for part in torch.arange(200).split(size)]
        assert torch.equal(torch.cat(parts), whole)


def test_key_row_and_draw_select_other_numbers() -> None:
    rows = torch.tensor([0, 1, 2**32, 2**33 + 1])
    draws = [philox.normal(key, rows, draw, (16,)) for key in ((0, "a"), (1, "a"), (0, "b")) for draw in (0, 1)]
    images = sorted(tuple(row) for row in torch.cat(draws).tolist())
    assert all(one != other for one, other in pairwise(images))
