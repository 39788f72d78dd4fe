"""`python -m MODULE ARGUMENTS` that does not outlive its parent: `python -P flows/child.py PARENT MODULE ARGUMENTS`.

PARENT: process id of the one that started it, which may have died before this is read.
"""

import runpy
import signal
import sys

from ddpm.runtime.parent import die_with_parent


def heed_interrupts() -> None:
    """Heed SIGINT even where it is ignored (behind `&` or nohup): it is how a child is asked to save and stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    heed_interrupts()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
