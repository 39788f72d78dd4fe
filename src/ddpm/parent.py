"""Processes that end with the process that started them."""

import ctypes
import os
import signal
import sys


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, however it dies. Elsewhere nothing is asked.

    Raises:
        OSError: Linux refused.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM) != 0:  # 1: PR_SET_PDEATHSIG
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # it died before it was asked
            os.kill(os.getpid(), signal.SIGTERM)
