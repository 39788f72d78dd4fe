"""Worker processes of one program on one machine, which end with it."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 3
"""Tasks in progress or waiting, per worker: enough that none waits for the next, few enough to bound memory."""


def available_cores() -> int:
    """Number of CPU cores that this process may use: those of its affinity mask, where the system has one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Yield `work(task)` of each task, in their order, computed by `workers` processes; 1: by this process.

    `work`, tasks and results must be picklable; they travel between these processes only. Tasks are taken from the
    iterable AHEAD per worker in advance. An exception of `work` or of the iterable is raised here at its place in the
    order. The workers ignore SIGINT and end with this process, also when it is killed, or after their current task
    when the iteration ends early. Raises RuntimeError if a worker is killed.
    """
    if workers == 1:
        yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            with _interrupts_held():
                waiting.append(pool.submit(work, task))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"one of {workers} worker processes was killed, perhaps for lack of memory. Nothing was written; run this "
            "again, with fewer cores (`taskset`) if memory is short."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Start a thread that ends this worker when its parent has ended, since the pool alone would leave it running."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block SIGINT in the block: processes started in it inherit that, so that Ctrl-C reaches the parent alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
