"""Stage train: the prepared set in, a checkpoint and the history of its loss out.

Stopped by Ctrl-C or SIGTERM, it saves; killed, it loses at most the work since the last checkpoint. The same command
resumes it.
"""

import os
import sys

from ddpm.stages import run


def main() -> None:
    """Train to the end of the budget, or stop and save."""
    from ddpm.config import params
    from ddpm.training import job
    from ddpm.training.loop import TrainingStopped
    from ddpm.training.stopping import StopRequest

    stop = StopRequest()
    try:
        job.train(params.load(), stop, os.environ.get("DDPM_DEVICE", "auto"))
    except TrainingStopped:
        sys.exit(128 + stop.signal)


def processes() -> int:
    """Return the number of processes; under torchrun, its number overrides train.processes."""
    from ddpm.config import params
    from ddpm.runtime import torchrun
    from ddpm.training import setup

    settings = params.load()
    count = torchrun.processes(settings.train.processes, os.environ.get("DDPM_DEVICE", "auto"))
    setup.require_possible(settings, count)
    return count


if __name__ == "__main__":
    run(main, shared=True, processes=processes)
