"""Stages in several processes: a stage restarts itself by torchrun, and exits as its processes do."""

import contextlib
import logging
import os
import signal
import sys
from types import FrameType

import psutil

from ddpm.common import terminal

QUIET = (
    "torch.distributed.elastic",
    "torch.distributed.run",
)  # replaced by our own messages


def by_torchrun() -> bool:
    """Whether this process was started by torchrun (or a launcher that sets the same variables)."""
    return "RANK" in os.environ


def processes(wanted: str | int, device: str) -> int:
    """The number of processes to start: `auto` is one per GPU of this machine, or one.

    device: as for `runtime.device`. Raises ValueError for more processes than GPUs.
    """
    import torch

    gpus = torch.cuda.device_count() if device in {"auto", "cuda"} else 0
    if wanted == "auto":
        return max(gpus, 1)
    if gpus and int(wanted) > gpus:
        raise ValueError(f"train.processes = {wanted}, and this machine has {gpus} GPUs. Use auto, or at most {gpus}.")
    return int(wanted)


def start(module: str, count: int) -> None:
    """Run `python -m module` in `count` processes on this machine; return if all succeeded, else exit as they did.

    SIGINT and SIGTERM are relayed to all of them, which agree on the step to stop at; a second one kills them. When one
    dies, torchrun stops the others. Exit status: 128 + the relayed signal; else 1, or theirs.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # they are all on this machine
    relay = Relay()
    # torchrun would give the processes 30 seconds to save; the relay lets them finish. Its own handlers stay off.
    options = ["--standalone", f"--nproc-per-node={count}", "--local-addr=127.0.0.1", "--signals-to-handle=SIGHUP"]
    try:
        run.run(run.parse_args([*options, "-m", module, *sys.argv[1:]]))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if relay.signal:
            sys.exit(128 + relay.signal)
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            terminal.error(
                f"process {rank} of {count} was ended by {name}, so all were stopped. "
                "Run the same command to go on from the last checkpoint."
            )
        sys.exit(max(failure.exitcode, 1))


class Relay:
    """Relays the first SIGINT or SIGTERM to every child; a second one kills them."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        children = psutil.Process().children()
        again, self.signal = self.signal, number
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL if again else number)
        if not children:
            sys.exit(128 + number)
