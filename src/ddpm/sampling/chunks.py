"""Large sets of images as resumable parts, one file each: finished parts survive an interruption."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ddpm.common import files

Images = NDArray[Any]
JOB = "job.json"


@dataclass(frozen=True)
class Parts:
    """`count` images in files of `size` each (the last may have fewer) in `folder`, named by their first index."""

    folder: Path
    count: int
    size: int

    def missing(self) -> list[range]:
        """List the index ranges of the missing parts."""
        starts = range(0, self.count, self.size)
        return [range(at, min(at + self.size, self.count)) for at in starts if not self._path(at).exists()]

    def done(self) -> int:
        """Count the finished images."""
        return self.count - sum(map(len, self.missing()))

    def fill(self, generate: Callable[[range], Images], parts: Iterable[range] | None = None) -> None:
        """Generate the missing parts, or the given ones of them if several processes share the work.

        generate: returns the images of a range of indices, (len(range), ...).
        """
        for indices in self.missing() if parts is None else parts:
            files.write_npy(self._path(indices.start), generate(indices))

    def read(self) -> Iterator[Images]:
        """Yield all parts in order. Raises FileNotFoundError for a missing part, ValueError for a damaged one."""
        for start in range(0, self.count, self.size):
            yield files.read_npy(self._path(start))

    def remove(self) -> None:
        """Delete the folder, once the images have been written to their destination."""
        shutil.rmtree(self.folder)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npy"


def opened(folder: Path, job: Mapping[str, Any], count: int, size: int) -> Parts:
    """Start or resume a job. job: everything that affects an image, as JSON values.

    Raises ValueError if the folder holds parts of another job.
    """
    requested = json.loads(json.dumps({**job, "count": count, "size": size}))
    if (folder / JOB).exists():
        begun = files.read_json(folder / JOB)
        other = sorted(key for key in {**requested, **begun} if requested.get(key) != begun.get(key))
        if other:
            raise ValueError(
                f"{folder} holds images of another job, which differs in {', '.join(other)}. "
                "Finish that one, write to another place, or delete the folder."
            )
    else:
        files.write_json(folder / JOB, requested)
    return Parts(folder, count, size)
