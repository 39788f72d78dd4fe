"""Run `python -m MODULE ARGUMENTS` so that it ends with its parent: `python -P flows/child.py PARENT MODULE ARGUMENTS`.

PARENT: the process id of its starter, which may have died before this is read.
"""

import runpy
import signal
import sys

from ddpm.runtime.parent import die_with_parent, parent_and_command


def heed_interrupts() -> None:
    """Handle SIGINT even if it is ignored (behind `&` or nohup), because it asks a child to save and stop."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    parent, sys.argv = parent_and_command(__doc__, "python -P flows/child.py")
    die_with_parent(parent)
    heed_interrupts()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
