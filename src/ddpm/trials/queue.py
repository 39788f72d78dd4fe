"""Queued requests of `ddpm try --queue`: `.state/trials/queue.json`.

The queue holds requests, not copies of the project: they run with the code and parameters at their start.
DVC's own queue was not used: its worker is a daemon that outlives the terminal, a kill loses the task that it works on,
and it stashes the working tree (`ddpm.trials`).
"""

from ddpm.common import files
from ddpm.common.locks import locked
from ddpm.trials import records
from ddpm.trials.request import Request

FILE = records.FOLDER / "queue.json"
LOCK = records.FOLDER / "queue.lock"


def read() -> list[Request]:
    """Read the queued requests, oldest first."""
    if not FILE.is_file():
        return []
    return [Request(tuple(each["changes"]), each["seeds"], each["budget"]) for each in files.read_json(FILE)]


def add(request: Request) -> None:
    """Append a request; one that is queued already keeps its place."""
    with locked(LOCK, "another `ddpm try` is changing the queue"):
        found = read()
        if request not in found:
            _write([*found, request])


def remove(request: Request) -> None:
    """Remove a request."""
    with locked(LOCK, "another `ddpm try` is changing the queue"):
        _write([each for each in read() if each != request])


def _write(requests: list[Request]) -> None:
    files.write_json(FILE, [each.as_json() for each in requests])
