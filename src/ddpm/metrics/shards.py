"""Work shared by several processes with the result of a single one: items are dealt out and gathered in their order.

One process computes each item as a single process would, and nothing is summed across processes, so the result does not
depend on their number. The communication is passed in (`gather`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Array = NDArray[Any]


def alone(array: Array) -> list[Array]:
    """What a single process gathers."""
    return [array]


@dataclass(frozen=True)
class Shard:
    """This process among `count`. gather: an array (any length, same width and type everywhere) to those of all."""

    rank: int = 0
    count: int = 1
    gather: Callable[[Array], list[Array]] = alone

    def map(self, work: Callable[[Item], Array], items: Sequence[Item]) -> Array:
        """`work` of every item, joined along the first axis in the order of the items, the same in every process."""
        if len(items) < self.count:  # too few to share: each process does all
            return np.concatenate([work(item) for item in items])
        parts = [work(item) for item in items[self.rank :: self.count]]
        lengths = self.gather(np.array([len(part) for part in parts], np.int64))
        gathered = self.gather(np.concatenate(parts))
        pieces = [iter(np.split(rows, np.cumsum(sizes)[:-1])) for rows, sizes in zip(gathered, lengths, strict=True)]
        return np.concatenate([next(pieces[number % self.count]) for number in range(len(items))])

    def total(self, number: int, items: int) -> int:
        """The sum of a number of each process, counted while `map` went through so many items."""
        return number if items < self.count else int(sum(each[0] for each in self.gather(np.array([number], np.int64))))

    def wait(self) -> None:
        """Until every process is here."""
        self.gather(np.zeros(1))

    def in_turn(self, work: Callable[[], Item]) -> Item:
        """What `work` gives here, where the first process does it before the others: it may have to make a file."""
        if self.rank > 0:
            self.wait()
        found = work()
        if self.rank == 0:
            self.wait()
        return found


WHOLE = Shard()
