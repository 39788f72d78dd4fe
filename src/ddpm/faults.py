"""Faults of the machine, recognised in exceptions and exit statuses: memory, open files, folders without permission."""

import errno
import re
import signal

MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Cannot allocate memory|CUBLAS_STATUS_ALLOC", re.I
)
OUT_OF_MEMORY = (
    "The memory of this machine is used up. End other programs, or make the work smaller in params.yaml: train.batch, "
    "sample.batch, net.channels. Training goes on from its last checkpoint."
)
TOO_MANY_FILES = (
    "This process may not open more files (the limit is `ulimit -n`). Raise it, for example `ulimit -n 4096`, and run "
    "the same command again."
)


def exhausted(error: BaseException) -> str:
    """What the machine lacks and what to do, if that is what an exception says; else empty."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and MEMORY.search(str(error)):  # torch, on the processor and on a GPU
        return OUT_OF_MEMORY
    if number in {errno.EMFILE, errno.ENFILE}:
        return TOO_MANY_FILES
    if number in {errno.EACCES, errno.EROFS, errno.EPERM} and isinstance(error, OSError):
        what = error.filename or "a file"
        return (
            f"{what} cannot be written or read ({error.strerror}). Give this user the right to it, then run this again."
        )
    return ""


def killed(status: int) -> str:
    """Why a process ended by SIGKILL, as far as its exit status tells; else empty."""
    if status not in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return ""
    return f"It was killed (SIGKILL), as Linux does when memory runs out. {OUT_OF_MEMORY}"
