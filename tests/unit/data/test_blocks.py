"""Passes over arrays, mapped or not."""

from pathlib import Path

import numpy as np
import pytest

from ddpm.data import blocks


@pytest.mark.parametrize("count", [0, 1, 7, 64])
def test_blocks_are_the_array_in_order(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    monkeypatch.setattr(blocks, "RELEASE", 10_000)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r") if count else images
    for array in (images, mapped):
        found = list(blocks.blocks(array, 3))
        assert [start for start, _ in found] == list(range(0, count, 3))
        assert np.array_equal(np.concatenate([images[:0], *(block for _, block in found)]), images)


def test_changes_of_a_private_map_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages differ from the file's, so they must not be given back."""
    np.save(tmp_path / "images.npy", np.zeros((64, 32, 32, 3), np.uint8))
    monkeypatch.setattr(blocks, "RELEASE", 1)
    private = np.load(tmp_path / "images.npy", mmap_mode="c")
    private[:] = 1
    for _, _ in blocks.blocks(private):
        pass
    assert (private == 1).all()
