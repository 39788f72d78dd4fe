"""The stages that DVC runs, each as `python -m ddpm.stages.NAME` in the project's folder."""

import os
import sys
from collections.abc import Callable

from ddpm.parent import die_with_parent
from ddpm.redact import shown


def run(main: Callable[[], None], *, shared: bool = False) -> None:
    """Run a stage; an error meant for people ends it with one message instead of a traceback, and status 1.

    shared: several processes, started by torchrun, may share its work.
    """
    die_with_parent()
    try:
        if not shared and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("this stage is the work of one process: start it without torchrun")
        main()
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {shown(str(error))}", file=sys.stderr, flush=True)
        sys.exit(1)
