"""Stages in several processes: a stage starts itself under torchrun and exits with the status of its processes."""

import contextlib
import logging
import os
import signal
import sys
from types import FrameType

import psutil

from ddpm.common import terminal

QUIET = ("torch.distributed.elastic", "torch.distributed.run")
"""Loggers whose messages ours replace."""


def by_torchrun() -> bool:
    """Return True if torchrun, or a launcher that sets the same variables, started this process."""
    return "RANK" in os.environ


def processes(wanted: str | int, device: str) -> int:
    """The number of processes to start; `auto` is one per GPU of this machine, or one without GPUs.

    device: as for `runtime.device.choose_device`. Raises ValueError for more processes than GPUs.
    """
    import torch

    gpus = torch.cuda.device_count() if device in {"auto", "cuda"} else 0
    if wanted == "auto":
        return max(gpus, 1)
    if gpus and int(wanted) > gpus:
        raise ValueError(f"train.processes = {wanted}, and this machine has {gpus} GPUs. Use auto, or at most {gpus}.")
    return int(wanted)


def start(module: str, count: int) -> None:
    """Run `python -m module` in `count` processes on this machine; return if all succeed, else exit.

    SIGINT and SIGTERM are relayed to all processes, which agree on the step to stop at; a second signal kills them. If
    one dies, torchrun stops the others. Exit status: 128 + the relayed signal; otherwise that of the first failed
    process, 1 if a signal killed it.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine
    relay = Relay()
    # The relay lets the processes finish saving, for which torchrun's own handlers would give them 30 seconds.
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
                f"process {rank} of {count} was killed by {name}, so all were stopped. "
                "Run the same command to resume from the last checkpoint."
            )
        sys.exit(max(failure.exitcode, 1))


class Relay:
    """Relays the first SIGINT or SIGTERM to all children; a second one kills them."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._relay)

    def _relay(self, number: int, frame: FrameType | None) -> None:
        children = psutil.Process().children()
        again, self.signal = self.signal, number
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL if again else number)
        if not children:
            sys.exit(128 + number)
