"""The stages that DVC runs, each as `python -m ddpm.stages.NAME` in the project's folder."""

import sys
from collections.abc import Callable

from ddpm.parent import die_with_parent


def run(main: Callable[[], None]) -> None:
    """Run a stage; an error meant for people ends it with one message instead of a traceback, and status 1."""
    die_with_parent()
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
