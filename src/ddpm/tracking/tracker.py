"""The tracker that a training writes to. A thread ships its events to MLflow; training never waits for it."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ddpm.common import terminal, validation
from ddpm.tracking import store, system_metrics
from ddpm.tracking.record import close_abandoned
from ddpm.tracking.spool import SPOOLS, Spool
from ddpm.tracking.sync import sync

Status = Literal["FINISHED", "KILLED", "FAILED"]
SECONDS_BETWEEN_SHIPMENTS = 10.0
SECONDS_TO_SAY_GOODBYE = 20.0
PATIENCE = 5.0  # `close_abandoned` holds the writer's lock for a moment


class Tracker:
    """The record of one training, named by its digest. One process at a time writes it.

    Everything is first on disk (`folder/<digest>/events.jsonl`) and shipped every `interval` seconds; what could not
    be shipped is completed later by `replay`. Left by an exception without `finish`, the run ends FAILED (KILLED for an
    interrupt). The thread that ships also measures the machine (`system_metrics`). Raises LockBusyError (a ValueError)
    when another training writes the same record.
    """

    def __init__(self, digest: str, folder: Path = SPOOLS, *, interval: float = SECONDS_BETWEEN_SHIPMENTS) -> None:
        self.spool = Spool(folder / validation.name(digest, "the training digest"))
        self.interval = interval
        self.trouble: str | None = None
        self._running = False
        self._measures = system_metrics.enabled()
        self._system: dict[str, float] = {}
        self._open = contextlib.ExitStack()
        self._open.enter_context(self.spool.writing(PATIENCE))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, params: Mapping[str, str], tags: Mapping[str, str], patch: bytes = b"") -> None:
        """Start or continue the record of a training; a killed run continues under the same id. patch: kept with it."""
        self.spool.start(params, tags, patch)
        self._running = True
        self._thread = threading.Thread(target=self._sync_until_stopped, name="mlflow", daemon=True)
        self._thread.start()

    def metrics(self, images: int, values: Mapping[str, float]) -> None:
        """Values after `images` images seen; those of an image count already recorded are left out."""
        system, self._system = self._system, {}  # each measurement once
        self.spool.metrics(images, {**values, **system})

    def picture(self, name: str, picture: Path | NDArray[np.uint8], images: int) -> None:
        """A picture (a file, or uint8 (H, W) or (H, W, C)) after `images` images seen."""
        self.spool.picture(name, picture, images)

    def finish(self, status: Status) -> None:
        """Record how the training ended and ship the rest, as `close` does."""
        self.spool.finish(status)
        self._running = False
        self.close()

    def close(self, patience: float = SECONDS_TO_SAY_GOODBYE) -> None:
        """Ship the rest, for at most `patience` seconds; what is left over is shipped by the next `replay`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience)
            if self._thread.is_alive():
                self._warn_once("it is slow")
            self._thread = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None and self._running:
                self.finish("FAILED" if issubclass(kind, Exception) else "KILLED")
        finally:
            self.close()

    def _sync_until_stopped(self) -> None:
        self._attempt(self._measure)
        with store.impatient():
            self._attempt(lambda: (sync(self.spool), close_abandoned(self.spool.folder.parent)))
            while not self._stop.wait(self.interval):
                self._attempt(self._measure)
                self._attempt(lambda: sync(self.spool))
            self._attempt(lambda: sync(self.spool))

    def _measure(self) -> None:
        """Keep the state of the machine for the next metrics; replaced as a whole, so it needs no lock."""
        if self._measures:
            self._system = system_metrics.sample()

    def _attempt(self, work: Callable[[], object]) -> None:
        """Try a request; if MLflow fails, warn once, keep the record for a later attempt, and let training continue."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a training outlives any failure of its record; it is said below
            self._warn_once(str(error))
        else:
            self.trouble = None

    def _warn_once(self, trouble: str) -> None:
        if self.trouble is None:
            terminal.error(f"MLflow is not recording now: {trouble}", label="")
            terminal.error(
                f"Training continues. The record is kept in {self.spool.folder} and is completed when MLflow can be "
                "reached.",
                label="",
            )
        self.trouble = trouble
