"""History of a training as the train stage writes it, and the generalisation gap that it ends with."""

import csv
from pathlib import Path
from typing import Any

from ddpm.metrics import loss_gap
from ddpm.metrics.record import significant


def read(path: Path) -> list[dict[str, str]]:
    """The rows of history.csv. Raises FileNotFoundError, or ValueError for a history without rows."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} is empty. Run `dvc repro --force train`.")
    return rows


def generalisation(path: Path) -> dict[str, Any]:
    """The last measurement of held-out and training loss, as an entry of metrics.json; empty without one.

    Has `images` seen, both losses, their relative `gap` with its standard error, and `warnings`.
    """
    rows = loss_gap.measured(read(path))
    if not rows:
        return {}
    last = rows[-1]
    heldout, training = map(loss_gap.column, loss_gap.SETS)
    return {
        "generalisation": {
            "images": int(last["images"]),
            heldout: significant(last[heldout]),
            training: significant(last[training]),
            "gap": significant(last[loss_gap.GAP]),
            "gap_se": significant(last[loss_gap.ERROR]),
            "warnings": loss_gap.warnings(rows),
        }
    }
