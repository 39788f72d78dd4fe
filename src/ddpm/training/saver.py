"""Writes checkpoints in a thread while training continues."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from ddpm.training import state
from ddpm.training.state import State


class Saver:
    """Writes the checkpoints of a training from copies, one at a time.

    The copies are contiguous, so the thread runs no operation of torch: on a CPU, the first one would give it OpenMP
    threads of its own, and with more of them than cores every step takes almost twice as long.
    A context manager that ends when all are written. folder, keep, writes: as in `state.save`. A failed write raises
    its error at the next `save` or at the end of the block.
    """

    def __init__(self, folder: Path, keep: int, *, writes: bool) -> None:
        self.folder, self.keep, self.writes = folder, keep, writes
        self.thread = ThreadPoolExecutor(1, "checkpoint")
        self.writing: Future[None] | None = None
        self.step = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.thread:
            self._wait()

    def save(self, now: State) -> None:
        """Copy the state and start to write it. Returns before it is written. Raises StateError or DiskFullError."""
        self._wait()
        if now.step == self.step:  # decided alike in every process, whatever the first one has written meanwhile
            return
        checkpoint = state.copy(now, self.folder, writes=self.writes)
        self.step = now.step
        if checkpoint:
            self.writing = self.thread.submit(state.write, checkpoint, self.folder, self.keep)

    def _wait(self) -> None:
        """Wait until the last checkpoint is written. Raises its error."""
        writing, self.writing = self.writing, None
        if writing:
            writing.result()
