"""A large set of images drawn in parts, each a file of its own: what is done survives a stop."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files

Images = NDArray[np.uint8]
JOB = "job.json"


@dataclass(frozen=True)
class Parts:
    """`count` images in files of `size` each (the last may have fewer) in `folder`, named by their first index."""

    folder: Path
    count: int
    size: int

    def missing(self) -> list[range]:
        """The indices of the images of each part that is not there yet."""
        starts = range(0, self.count, self.size)
        return [range(at, min(at + self.size, self.count)) for at in starts if not self._path(at).exists()]

    def done(self) -> int:
        """How many images are there."""
        return self.count - sum(map(len, self.missing()))

    def fill(self, draw: Callable[[range], Images], parts: Iterable[range] | None = None) -> None:
        """Draw every part that is missing: `draw` gives the images of a range of indices, (len(range), H, W, C).

        parts: some of them, where several processes share the work.
        """
        for indices in self.missing() if parts is None else parts:
            files.write_npy(self._path(indices.start), draw(indices))

    def read(self) -> Iterator[Images]:
        """All parts in order. Raises FileNotFoundError for one that is missing, ValueError for a damaged one."""
        for start in range(0, self.count, self.size):
            yield files.read_npy(self._path(start))

    def remove(self) -> None:
        """Delete the folder: the images are where they were wanted."""
        shutil.rmtree(self.folder)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npy"


def opened(folder: Path, job: Mapping[str, Any], count: int, size: int) -> Parts:
    """The parts of a job, new or begun before. job: everything that shapes an image, as JSON values.

    Raises ValueError when the folder holds parts of another job.
    """
    asked = json.loads(json.dumps({**job, "count": count, "size": size}))
    if (folder / JOB).exists():
        begun = files.read_json(folder / JOB)
        other = sorted(key for key in {**asked, **begun} if asked.get(key) != begun.get(key))
        if other:
            raise ValueError(
                f"{folder} holds images of another job, which differs in {', '.join(other)}. "
                "Finish that one, write to another place, or delete the folder."
            )
    else:
        files.write_json(folder / JOB, asked)
    return Parts(folder, count, size)
