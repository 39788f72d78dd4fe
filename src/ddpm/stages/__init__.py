"""The stages that DVC runs, each as `python -m ddpm.stages.NAME` in the project's folder."""

import os
import sys
from collections.abc import Callable

from ddpm.files import DiskFullError
from ddpm.parent import die_with_parent


def run(main: Callable[[], None], *, shared: bool = False) -> None:
    """Run a stage; an error meant for people ends it with one message instead of a traceback, and status 1.

    shared: several processes, started by torchrun, may share its work.
    """
    die_with_parent()
    try:
        if not shared and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("this stage is the work of one process: start it without torchrun")
        main()
    except (ValueError, FileNotFoundError, DiskFullError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
