"""The start time of this process, to a hundredth of a second."""

import os
import sys
import time
from pathlib import Path


def process_start() -> float:
    """The start time in seconds since the epoch."""
    if sys.platform != "linux":
        import psutil

        return psutil.Process().create_time()
    # psutil knows the boot time in whole seconds only. Fields after the command, which may contain blanks, start at 3.
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[22 - 3])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
