"""Work divided among processes with the result of a single process: items are distributed and gathered in order.

Each item is computed by one process exactly as by a single process, and nothing is summed across processes, so the
result does not depend on their number. The communication is passed in (`gather`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Array = NDArray[Any]


def alone(array: Array) -> list[Array]:
    """Gather in a single process."""
    return [array]


@dataclass(frozen=True)
class Shard:
    """The share of process `rank` of `count`.

    gather: returns the arrays of all processes, by rank; they may differ in length only.
    """

    rank: int = 0
    count: int = 1
    gather: Callable[[Array], list[Array]] = alone

    def map(self, work: Callable[[Item], Array], items: Sequence[Item]) -> Array:
        """Apply `work` to every item and concatenate the results in the order of the items, equal in every process."""
        if len(items) < self.count:  # too few to divide: each process computes all
            return np.concatenate([work(item) for item in items])
        parts = [work(item) for item in items[self.rank :: self.count]]
        lengths = self.gather(np.array([len(part) for part in parts], np.int64))
        gathered = self.gather(np.concatenate(parts))
        pieces = [iter(np.split(rows, np.cumsum(sizes)[:-1])) for rows, sizes in zip(gathered, lengths, strict=True)]
        return np.concatenate([next(pieces[number % self.count]) for number in range(len(items))])

    def total(self, number: int, items: int) -> int:
        """Sum a number over the processes, where each counted it during `map` over `items` items."""
        return number if items < self.count else int(sum(each[0] for each in self.gather(np.array([number], np.int64))))

    def wait(self) -> None:
        """Wait for every process."""
        self.gather(np.zeros(1))

    def in_turn(self, work: Callable[[], Item]) -> Item:
        """Run `work` in the first process, then in the others, which may need a file that the first one writes."""
        if self.rank > 0:
            self.wait()
        found = work()
        if self.rank == 0:
            self.wait()
        return found


WHOLE = Shard()
