"""Stop requests that take effect when the training can be saved."""

import os
import signal
from types import FrameType

from ddpm.common import terminal
from ddpm.runtime import torchrun
from ddpm.training.data_parallel import ProcessGroup


class StopRequest:
    """Record the first SIGINT or SIGTERM; a second one ends the process at once.

    One of several processes may receive the same request twice, from torchrun and from whatever signals the process
    group; there, further signals are ignored.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.heard = False
        self.handlers = {number: signal.signal(number, self._asked) for number in (signal.SIGINT, signal.SIGTERM)}

    def agreed(self, group: ProcessGroup) -> bool:
        """Return True if any process of the group received a request; the same in every process at the same step."""
        asked = group.all_reduce_max(self.signal)
        if asked:  # never back to 0: a signal may arrive during the exchange
            self.signal = asked
        return asked != 0

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.heard and torchrun.by_torchrun():
            return  # it arrived before the first handler could have it ignored
        self.heard = True
        self.signal = number
        for each, handler in self.handlers.items():
            signal.signal(each, signal.SIG_IGN if torchrun.by_torchrun() else handler)
        if os.environ.get("RANK", "0") == "0":
            terminal.echo(f"train: {signal.Signals(number).name}: saving, then stopping")
