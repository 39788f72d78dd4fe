"""Faults of the machine, recognised from exceptions and exit statuses: memory, open files, permissions."""

import errno
import re
import resource
import signal

LEAST_FILES, WANTED_FILES = 64, 1024
MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Cannot allocate memory|CUBLAS_STATUS_ALLOC", re.I
)
OUT_OF_MEMORY = (
    "This machine is out of memory. End other programs, or reduce train.batch, sample.batch or net.channels in "
    "params.yaml. Training resumes from its last checkpoint."
)
TOO_MANY_FILES = (
    "This process may not open more files. Raise the limit, for example with `ulimit -n 4096`, and run the same "
    "command again."
)


def require_open_files(least: int = LEAST_FILES) -> None:
    """Raise the limit of open files to WANTED_FILES if possible. Raises OSError if it stays below `least`.

    With fewer files, the servers do not answer, and do not say why.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < least:
        raise OSError(errno.EMFILE, f"at most {soft} open files")


def exhausted(error: BaseException) -> str:
    """The exhausted resource and the remedy if an exception or one of its causes names one; else an empty text."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if found := _lacking(each):
            return found
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return ""


def _lacking(error: BaseException) -> str:
    """The same for one exception, without its causes."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and MEMORY.search(str(error)):  # torch, on CPU or GPU
        return OUT_OF_MEMORY
    if number in {errno.EMFILE, errno.ENFILE}:
        return TOO_MANY_FILES
    if isinstance(error, OSError) and number in {errno.EACCES, errno.EROFS, errno.EPERM} and error.filename:
        fault = f"{error.filename} cannot be written or read ({error.strerror})"
        return f"{fault}. Give this user permission, then run the same command again."
    return ""


def killed(status: int) -> str:
    """The likely cause and remedy if the exit status shows SIGKILL; else an empty text."""
    if status not in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return ""
    return f"It was killed (SIGKILL), which Linux does when memory runs out. {OUT_OF_MEMORY}"
