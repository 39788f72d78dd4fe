"""Processes that end with the process that started them.

`python -P -m ddpm.runtime.parent PARENT MODULE ARGUMENTS` runs `python -m MODULE ARGUMENTS` as one.
PARENT: the process id of its starter.
"""

import argparse
import ctypes
import os
import runpy
import signal
import sys


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux for SIGTERM when the parent dies, however it dies; one that is dead already counts. Elsewhere nothing.

    parent: its process id, where it is known. Otherwise a parent in another session than ours is a stranger that took
    us in while we were starting: a shell, DVC and torch's launcher share theirs with what they start, or give it one.

    Raises:
        OSError: Linux refused.
    """
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM) != 0:  # 1: PR_SET_PDEATHSIG
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent if parent is not None else _adopted():
            os.kill(os.getpid(), signal.SIGTERM)


def _adopted() -> bool:
    """Whether the parent is not the process that started this one, judged by sessions. 0: unknown."""
    parent, session = os.getppid(), os.getsid(0)
    if parent == 0 or session == os.getpid():
        return False
    try:
        return os.getsid(parent) != session
    except ProcessLookupError:  # it has just ended
        return True


def parent_and_command(doc: str | None, prog: str) -> tuple[int, list[str]]:
    """Read PARENT MODULE ARGUMENTS from the command line."""
    parser = argparse.ArgumentParser(prog, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent", type=int, metavar="PARENT", help="process id of the starter")
    parser.add_argument("module", metavar="MODULE")
    parser.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    return chosen.parent, [chosen.module, *chosen.arguments]


if __name__ == "__main__":
    process, sys.argv = parent_and_command(__doc__, "python -P -m ddpm.runtime.parent")
    die_with_parent(process)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
