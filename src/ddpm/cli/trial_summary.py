"""Terminal output of trials: the table of a result, and the list of all."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ddpm.common import terminal
from ddpm.common.units import duration, score_number

if TYPE_CHECKING:
    from ddpm.trials.records import Record
    from ddpm.trials.request import Request, Result

INDENT = "  "
OTHERS = ("kid", "recall", "memorisation_ratio")


def show(result: "Result") -> None:
    """Print scores and speed of each variant, then the verdicts with their reasons."""
    from ddpm.trials import rows as trial_rows

    rows = trial_rows.rows(result)
    if rows:
        headings = ("", "FID", "KID", "recall", "memor.", "training", "img/s")
        cells = [
            (each.name, each.scores["fid"], *(_plain(each.scores[name]) for name in OTHERS), each.seconds, each.rate)
            for each in rows
        ]
        table(headings, cells)
        extractor = next((each.extractor for each in rows if each.extractor), "")
        terminal.echo(f"FID {extractor} ± its 95% interval {trial_rows.interval(result)}")
    if warning := trial_rows.unequal(result):
        paragraph(f"Note: {warning[0].lower()}{warning[1:]}.")
    for label, group in result.groups.items():
        if text := trial_rows.combined(group):
            terminal.echo(f"{label}, {len(group)} seeds")
            paragraph(text, INDENT)
    for each in result.records:
        if each.state == "failed":
            terminal.echo(f"{each.name} failed: {each.reason.splitlines()[0]}")
        elif each.verdict:
            outcome = each.verdict["verdict"]
            than = f" than {each.against}" if outcome in {"better", "worse"} else ""
            terminal.echo(f"{each.name}: {outcome}{than}")
            paragraph("; ".join(each.verdict["reasons"]), INDENT)
    _next(result)


def _next(result: "Result") -> None:
    """Print the command that keeps the best trial, or trains it in full."""
    from ddpm.trials.plan import arguments

    found = [each for each in result.finished if each.changes]
    if not found:
        return
    best = min(found, key=lambda each: (not each.verdict.get("promote"), each.scores.fid or float("inf")))
    if result.request.budget != 1:
        terminal.echo(f"try the best in full: ddpm try {arguments(best.changes)}")
    else:
        terminal.echo(f"keep the best: ddpm try --keep {best.name}")


def listing(found: "Sequence[Record]", waiting: "Sequence[Request]") -> None:
    """Print all trials and the queue."""
    from ddpm.trials import records

    if not found and not waiting:
        terminal.echo("nothing was tried yet: ddpm try train.lr=0.001")
    if found:
        cells = [
            (
                each.name,
                records.shown_state(each),
                str(each.verdict.get("verdict", "")),
                score_number(each.scores.fid),
                duration(sum(each.seconds.values())) if each.seconds else "",
            )
            for each in found
        ]
        table(("trial", "state", "gate", "FID", "time"), cells)
    for each in waiting:
        terminal.echo(f"queued: {' '.join(each.changes)}" + (f" --seeds {each.seeds}" if each.seeds > 1 else "")
                      + (f" --budget {each.budget:g}" if each.budget != 1 else ""))  # fmt: skip


def _plain(text: str) -> str:
    """Leave the interval out, for which the terminal has no room; the page has it."""
    return text.partition(" ± ")[0]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of plain text; only its first column wraps."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        shown.add_column(heading, overflow="fold", no_wrap=heading != headings[0])
    for row in rows:
        shown.add_row(*(Text(terminal.field(cell)) for cell in row))
    Console().print(shown)


def paragraph(text: str, indent: str = "") -> None:
    """Print a text wrapped to the terminal."""
    width = min(shutil.get_terminal_size().columns, 100)
    terminal.echo(*textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False))
