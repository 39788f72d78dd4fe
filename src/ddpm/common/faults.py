"""Faults of the machine, recognised in exceptions and exit statuses: memory, open files, folders without permission."""

import errno
import re
import resource
import signal

LEAST_FILES, WANTED_FILES = 64, 1024
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


def require_open_files(least: int = LEAST_FILES) -> None:
    """Raise the limit of open files as far as a process may. Raises OSError when it stays below `least`.

    With fewer, the servers do not answer, without a word.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < least:
        raise OSError(errno.EMFILE, f"at most {soft} open files")


def exhausted(error: BaseException) -> str:
    """The exhausted resource and the remedy, if an exception or one of its causes names one; else ""."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if found := _lacking(each):
            return found
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return ""


def _lacking(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and MEMORY.search(str(error)):  # torch, on the processor and on a GPU
        return OUT_OF_MEMORY
    if number in {errno.EMFILE, errno.ENFILE}:
        return TOO_MANY_FILES
    if isinstance(error, OSError) and number in {errno.EACCES, errno.EROFS, errno.EPERM} and error.filename:
        what = f"{error.filename} cannot be written or read ({error.strerror})"
        return f"{what}. Give this user the right to it, then run the same command again."
    return ""


def killed(status: int) -> str:
    """Why a process ended by SIGKILL, as far as its exit status tells; else empty."""
    if status not in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return ""
    return f"It was killed (SIGKILL), as Linux does when memory runs out. {OUT_OF_MEMORY}"
