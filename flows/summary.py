"""The closing page of a run, for a person: the scores against the gate, the verdict, and where to look next."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddpm.common import terminal
from ddpm.common.progress import duration
from ddpm.evaluation.gate import Verdict
from ddpm.evaluation.score_table import Row
from ddpm.report.page import PAGE
from flows.dvc import Outcome
from flows.markdown import escape

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

HEADINGS = {
    "first": ("green", "promoted: the first champion"),
    "better": ("green", "promoted: the new champion"),
    "unchanged": ("cyan", "is the champion already: nothing to promote"),
    "inconclusive": ("yellow", "not promoted: not surely better than the champion"),
    "worse": ("yellow", "not promoted: worse than the champion"),
    "regressed": ("yellow", "not promoted: worse than the champion in another score than FID"),
    "outside limits": ("red", "not promoted: outside the limits"),
    "refused": ("red", "not promoted: not comparable"),
    "rejected": ("yellow", "not promoted: a person rejected it"),
    "expired": ("yellow", "not promoted: nobody approved it in time"),
    "withdrawn": ("yellow", "not promoted: it was rolled back before"),
}


@dataclass(frozen=True)
class Registered:
    """A version in the registry: its name and number, its aliases, the champion's number, and the run behind it."""

    name: str
    version: int
    new: bool
    aliases: tuple[str, ...]
    champion: int | None
    run_id: str


@dataclass
class Report:
    """What a run found and did. champion: the champion's scores under the same conditions.

    uncommitted: files of results and parameters that git does not have as they are. warnings: for the end of the page.
    """

    outcomes: Sequence[Outcome]
    verdict: Verdict
    registered: Registered
    metrics: dict[str, Any]
    seconds: float = 0.0
    champion: dict[str, Any] | None = None
    drift: Mapping[str, Any] | None = None
    uncommitted: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)


def heading(verdict: Verdict) -> tuple[str, str]:
    """(style, words) of a verdict."""
    if verdict.verdict in {"first", "better"} and not verdict.promote:
        return "yellow", "not promoted: rolled back before"
    if verdict.verdict == "first" and not any(row.limit for row in verdict.rows):
        return "yellow", "promoted: the first champion; no limits are set"
    return HEADINGS[verdict.verdict]


def show(report: Report, console: "Console", prefect: str = "") -> None:
    """Print the page. prefect: the address of this run on Prefect's page, if that stays up."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    style, words = heading(report.verdict)
    made = report.registered
    if report.verdict.verdict == "unchanged" and made.champion != made.version:
        style, words = "yellow", "not promoted: the champion's own weights"
    console.print()
    title = Text.assemble((terminal.field(f"{made.name} version {made.version}"), "bold"), f" {words}")
    console.print(Rule(title, style=style, align="left"))
    for part in (scores(report.verdict.rows), reasons(report), times(report), places(report, prefect)):
        console.print(Padding(part, (1, 0, 0, 1)))
    console.print()


def scores(rows: Sequence[Row]) -> "RenderableType":
    """The scores beside the champion's, those of real images, and the limits."""
    from rich.table import Table
    from rich.text import Text

    marks = {True: Text("yes", "green"), False: Text("no", "bold red"), None: Text("")}
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("score")
    for heading in ("this model", "champion", "real images", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("passed")
    for row in rows:
        value = Text(number(row.candidate), "bold")
        table.add_row(
            Text(terminal.field(row.name)),
            value,
            number(row.champion),
            number(row.floor),
            Text(row.limit or "-"),
            marks[row.ok],
        )
    return table


def reasons(report: Report) -> "RenderableType":
    """The verdict's reasons, and what the registry holds now."""
    made = report.registered
    lines = [("Why", "; ".join(report.verdict.reasons))]
    state = "registered now" if made.new else "registered before"
    aliases = f", alias {' and '.join(made.aliases)}" if made.aliases else ", no alias"
    lines.append(("Version", f"models:/{made.name}/{made.version}, {state}{aliases}"))
    if made.champion is None:
        lines.append(("Champion", "there is none: nothing has been promoted yet"))
    elif made.champion != made.version:
        lines.append(("Champion", f"models:/{made.name}/{made.champion} stays"))
    if report.drift is not None:
        lines.append(("Data", report.drift["words"]))
    return pairs(lines)


def times(report: Report) -> "RenderableType":
    """What became of each stage, and where the time went."""
    parts = [
        f"{each.stage} {each.did.lower() if each.seconds < 1 else duration(each.seconds)}" for each in report.outcomes
    ]
    if len({each.did for each in report.outcomes}) == 1 and report.outcomes[0].did == "Cached":
        parts = [f"all {len(parts)} stages cached: nothing changed"]
    return pairs([("Time", f"{duration(report.seconds)} in all: {', '.join(parts)}")])


def places(report: Report, prefect: str) -> "RenderableType":
    """Where to look next."""
    made = report.registered
    drawn, whose = ("the champion", "@champion") if made.champion is not None else ("this model", f"/{made.version}")
    known = [
        ("Report", f"{PAGE}  (pictures, scores and curves; opens from disk)"),
        ("Pages", "ddpm ui  (this run in MLflow and Prefect)" + (f"  now also at {prefect}" if prefect else "")),
        ("Draw", f"ddpm sample --model {shlex.quote(f'models:/{made.name}{whose}')}  (images from {drawn})"),
        ("Models", "ddpm status  (versions, aliases; ddpm promote and ddpm rollback move them)"),
    ]
    if report.uncommitted:
        add = f"git add {' '.join(report.uncommitted)} && git commit -m results"
        known.append(("Compare", f"{add}  (`dvc metrics diff` and `dvc plots diff` compare later runs with this one)"))
    known += [("Warning", each) for each in report.warnings]
    return pairs(known)


def pairs(lines: Sequence[tuple[str, str]]) -> "RenderableType":
    """A label and a text per line."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", min_width=8)
    table.add_column(overflow="fold")
    for label, line in lines:
        table.add_row(label, Text(terminal.field(line)))
    return table


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def markdown(report: Report) -> str:
    """The same for Prefect's page."""
    made = report.registered
    lines = [
        f"**{escape(made.name)} version {made.version}** {heading(report.verdict)[1]}",
        "",
        *(f"- {escape(reason)}" for reason in report.verdict.reasons),
        *([f"- data: {escape(report.drift['words'])}"] if report.drift is not None else []),
        "",
        "| score | this model | champion | real images | limit | passed |",
        "|---|---:|---:|---:|---:|---|",
    ]
    marks = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {escape(row.name)} | {number(row.candidate)} | {number(row.champion)} | {number(row.floor)} "
        f"| {escape(row.limit or '-') if row.limit else '-'} "
        f"| {marks[row.ok]} |"
        for row in report.verdict.rows
    ]
    lines += ["", *(f"- warning: {escape(each)}" for each in report.warnings)]
    lines += ["", "| stage | state | time |", "|---|---|---:|"]
    lines += [f"| {escape(each.stage)} | {each.did} | {duration(each.seconds)} |" for each in report.outcomes]
    return "\n".join(lines)
