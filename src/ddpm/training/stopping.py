"""A request to stop that waits until the work can be saved."""

import os
import signal
from types import FrameType

from ddpm.common import terminal
from ddpm.runtime import torchrun
from ddpm.training.data_parallel import Team


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; a second one ends the process at once.

    One of several processes may be told twice of one request, by torchrun and by whoever stops a family of processes:
    there, further signals are ignored.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.heard = False
        self.handlers = {number: signal.signal(number, self._asked) for number in (signal.SIGINT, signal.SIGTERM)}

    def agreed(self, team: Team) -> bool:
        """Whether any process of the team was asked; all learn of it at the same step."""
        asked = team.largest(self.signal)
        if asked:  # never back to 0: a signal may arrive while the processes are comparing theirs
            self.signal = asked
        return asked != 0

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.heard and torchrun.by_torchrun():
            return  # a second one had come before the first could have it ignored
        self.heard = True
        self.signal = number
        for each, handler in self.handlers.items():
            signal.signal(each, signal.SIG_IGN if torchrun.by_torchrun() else handler)
        if os.environ.get("RANK", "0") == "0":
            terminal.echo(f"train: {signal.Signals(number).name}: saving, then stopping")
