"""Processes that end with their parent.

`python -P -m ddpm.runtime.parent PARENT MODULE ARGUMENTS` runs `python -m MODULE ARGUMENTS` as such a process.
PARENT: the process ID of the parent, which may have died before this process reads it.
"""

import argparse
import ctypes
import os
import runpy
import signal
import sys


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux to send SIGTERM when the parent dies, and send it now if the parent is dead. Does nothing elsewhere.

    parent: its process ID, if known. If not, a parent in another session is taken for the process that adopted this
    one after the real parent had died: shells, DVC and torchrun share their session with their children, or give each
    child a session of its own.

    Raises:
        OSError: Linux refused the request.
    """
    if sys.platform == "linux":
        if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM) != 0:  # 1: PR_SET_PDEATHSIG
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent if parent is not None else _is_adopted():
            os.kill(os.getpid(), signal.SIGTERM)


def _is_adopted() -> bool:
    """Return True if this process has lost its first parent, judged by sessions; False if they do not show it."""
    parent, session = os.getppid(), os.getsid(0)
    if parent == 0 or session == os.getpid():
        return False
    try:
        return os.getsid(parent) != session
    except ProcessLookupError:  # the parent has just ended
        return True


def main() -> None:
    """Run a module as a process that ends with its parent."""
    parser = argparse.ArgumentParser(
        "python -P -m ddpm.runtime.parent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--interruptible", action="store_true", help="handle SIGINT even if it is ignored (after `&` or nohup)"
    )
    parser.add_argument("parent", type=int, metavar="PARENT", help="process ID of the parent")
    parser.add_argument("module", metavar="MODULE")
    parser.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    die_with_parent(chosen.parent)
    if chosen.interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [chosen.module, *chosen.arguments]
    runpy.run_module(chosen.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
