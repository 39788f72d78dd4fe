"""Duration, rate and held-out losses of a training, from the events that it recorded on this machine."""

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ddpm.common import validation
from ddpm.metrics import loss_gap
from ddpm.tracking import SPOOLS, Spool

RATE = "images_per_second"


@dataclass(frozen=True)
class Speed:
    """Seconds of wall clock in training, and images per second; None if not recorded here."""

    seconds: float | None = None
    images_per_second: float | None = None


def speed(digest: str, folder: Path = SPOOLS) -> Speed:
    """Read the speed of a training. A pause between an interruption and its continuation does not count."""
    events = [event for event, _ in Spool(folder / validation.name(digest, "the training digest")).read(0)]
    rates = [event["values"][RATE] for event in events if event["event"] == "metrics" and RATE in event["values"]]
    if not rates:  # restored from DVC's cache, not trained here
        return Speed()
    spans = (later["time"] - event["time"] for event, later in pairwise(events) if later["event"] != "start")
    return Speed(sum(spans) / 1000, rates[-1])


def heldout_of(table: Path) -> list[dict[str, float]]:
    """Read the same rows from the heldout_loss.csv of a trial."""
    with table.open(newline="", encoding="utf-8") as file:
        return loss_gap.measured(list(csv.DictReader(file)))


def heldout(digest: str, folder: Path = SPOOLS) -> list[dict[str, float]]:
    """Read the measurements of held-out loss: rows of `images` and the columns of `loss_gap`, in order."""
    rows: dict[int, dict[str, float]] = {}
    for event, _ in Spool(folder / validation.name(digest, "the training digest")).read(0):
        if event["event"] == "metrics" and loss_gap.column("heldout") in event["values"]:
            rows[event["images"]] = {"images": float(event["images"]), **event["values"]}
    return [rows[images] for images in sorted(rows)]
