"""`python -m MODULE ARGUMENTS` that does not outlive its parent: `python -P flows/child.py MODULE ARGUMENTS`."""

import ctypes
import os
import runpy
import signal
import sys


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, however it dies. Elsewhere nothing is asked."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG
        if os.getppid() != parent:
            sys.exit(128 + signal.SIGTERM)


def heed_interrupts() -> None:
    """Heed SIGINT even where it is ignored (behind `&` or nohup): it is how a child is asked to save and stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    die_with_parent()
    heed_interrupts()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
