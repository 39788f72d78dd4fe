"""The training history, history.csv, and the generalisation gap at its end."""

import csv
from pathlib import Path
from typing import Any

from ddpm.metrics import loss_gap
from ddpm.metrics.rounding import significant


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of history.csv. Raises FileNotFoundError, or ValueError for an empty history."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} is empty. Run `dvc repro --force train`.")
    return rows


def generalisation(path: Path) -> dict[str, Any]:
    """Return the last measurement of held-out and training loss as an entry of metrics.json; empty without one.

    Keys: `images` seen, both losses, their relative `gap` with its standard error `gap_se`, and `warnings`.
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
