"""Windows of a series, and their split by blocks of time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 4
"""Length of a block of time, in windows."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Split:
    """First rows of windows (N,), ascending, and which of them are held out (N,). blocks: of time; dropped: windows."""

    starts: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    blocks: int
    dropped: int


def held_blocks(count: int, share: float) -> NDArray[np.bool_]:
    """Mark which of `count` blocks of time are held out: evenly spread, and the same when later blocks are added.

    Block k is held out if the fraction of k times the golden ratio is below `share` (Kronecker's sequence, of the
    lowest discrepancy), so that each era is in both splits.
    """
    return (np.arange(1, count + 1) * GOLDEN) % 1 < share


def split(rows: int, gaps: NDArray[np.int64], *, window: int, stride: int, share: float) -> Split:
    """Cut `rows` rows into windows and divide these by blocks of BLOCK windows' length.

    gaps: rows before which time is missing, which no window spans. A window inside a held-out block is held out. A
    window that overlaps such a block, or is less than a window's length away from one, is dropped, because it
    shares rows or moments with the held-out ones.
    """
    starts = np.arange(0, rows - window + 1, stride)
    ends = starts + window
    whole = np.searchsorted(gaps, starts, side="right") == np.searchsorted(gaps, ends - 1, side="right")
    starts, ends = starts[whole], ends[whole]
    size = BLOCK * window
    held = held_blocks(-(-rows // size), share)
    bounds = np.concatenate([[0], np.cumsum(np.repeat(held, size)[:rows])])  # held-out rows before each row

    def touched(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = bounds[last.clip(max=rows)] - bounds[first.clip(min=0)]
        return found

    inside = touched(starts, ends) == window
    clear = touched(starts - window, ends + window) == 0
    kept = inside | clear
    return Split(starts[kept], inside[kept], len(held), int((~kept).sum()))


def cut(values: NDArray[np.float64], starts: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """Windows (N, window, C) of values (T, C), from their first rows."""
    views = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)  # (T - window + 1, C, window)
    return np.ascontiguousarray(views[starts].transpose(0, 2, 1), np.float32)
