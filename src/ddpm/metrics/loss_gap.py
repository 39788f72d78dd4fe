"""Held-out and training loss by noise level: columns of the history, generalisation gap and warnings.

Both losses are measured alike with the same weights, so their difference is the generalisation gap: it grows when a
model memorises its training images.
"""

import math
from collections.abc import Mapping, Sequence

LEVELS = 8
"""Number of noise levels at which both losses are measured."""
SETS = ("heldout", "training")
GAP, ERROR = "heldout_gap", "heldout_gap_se"
LARGE_GAP = 0.1
"""Relative gap that, if it also exceeds three standard errors, suggests memorisation."""
RISE = 0.02
"""Relative rise of the held-out loss above its minimum that is reported as overfitting."""

Measurement = Mapping[str, float]


def column(name: str, level: int | None = None) -> str:
    """Name a column of the history. name: one of SETS; level: 1 (least noise) to LEVELS, or None for the mean."""
    return f"{name}_loss" if level is None else f"{name}_loss_{level}"


COLUMNS = (
    *map(column, SETS),
    GAP,
    ERROR,
    *(column(name, level) for level in range(1, LEVELS + 1) for name in SETS),
)
"""Columns of the history that hold a measurement; empty in rows without one."""


def summary(losses: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, float]:
    """Compute the columns of one measurement.

    losses: for each of SETS, LEVELS rows of equally many losses, at least two. The gap is the held-out
    loss over the training loss, minus 1; its standard error is that of the difference of the two means.
    """
    row: dict[str, float] = {}
    variance = 0.0
    for name in SETS:
        means = [math.fsum(level) / len(level) for level in losses[name]]
        row[column(name)] = math.fsum(means) / len(means)
        for number, (level, mean) in enumerate(zip(losses[name], means, strict=True), start=1):
            row[column(name, number)] = mean
            squares = math.fsum((each - mean) ** 2 for each in level)
            variance += squares / (len(level) - 1) / len(level) / len(means) ** 2
    heldout, training = (row[column(name)] for name in SETS)
    row[GAP] = heldout / training - 1
    row[ERROR] = math.sqrt(variance) / training
    return {name: row[name] for name in COLUMNS}


def measured(history: Sequence[Mapping[str, object]]) -> list[dict[str, float]]:
    """Return the rows of a history that hold a measurement, as numbers: `images` and COLUMNS.

    history: rows as the training keeps them, or as a CSV reader gives them (empty text: no measurement).
    """
    return [
        {name: float(str(row[name])) for name in ("images", *COLUMNS)}
        for row in history
        if row.get(GAP) not in (None, "")
    ]


def warnings(rows: Sequence[Measurement]) -> list[str]:
    """List signs of overfitting and memorisation. rows: measurements, oldest first."""
    return [text for text in (rising(rows), wide(rows)) if text]


def rising(rows: Sequence[Measurement]) -> str:
    """Warn if the held-out loss has risen above its minimum while the training loss has fallen; "" otherwise."""
    if not rows:
        return ""
    heldout, training = map(column, SETS)
    last, best = rows[-1], min(rows, key=lambda row: row[heldout])
    rise = last[heldout] / best[heldout] - 1
    if rise <= RISE or last[training] >= best[training]:
        return ""
    return (
        f"held-out loss has risen by {rise:.1%} since image {best['images']:,.0f} while training loss has fallen by "
        f"{1 - last[training] / best[training]:.1%}: the model is overfitting. Train on more images or for fewer steps."
    )


def wide(rows: Sequence[Measurement]) -> str:
    """Warn of a gap that is large and significant; "" otherwise."""
    if not rows or rows[-1][GAP] <= max(LARGE_GAP, 3 * rows[-1][ERROR]):
        return ""
    return f"held-out loss is {gap_text(rows[-1])} above training loss: a sign of memorised training images."


def gap_text(row: Measurement) -> str:
    """Format the gap with its standard error: `3.12% ± 2.0%`."""
    return f"{_percent(row[GAP], 3)} ± {_percent(row[ERROR], 2)}"


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:#.{digits}g}".rstrip(".") + "%"
