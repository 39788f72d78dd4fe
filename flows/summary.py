"""The summary at the end of a run: the verdict, the scores against the gate, and where to look next."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddpm.common import terminal
from ddpm.common.markdown import escape
from ddpm.common.units import duration
from ddpm.evaluation import score_text
from ddpm.evaluation.gate import Verdict
from ddpm.evaluation.score_record import ScoreRecord, fid_name
from ddpm.evaluation.score_table import ScoreRow
from ddpm.report.page import PAGE
from flows.dvc import StageRun

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NARROW = 72
"""Width of a terminal below which columns are set closer together."""
HEADINGS = {
    "first": ("green", "promoted: the first champion"),
    "better": ("green", "promoted: the new champion"),
    "unchanged": ("cyan", "is the champion already: nothing to promote"),
    "inconclusive": ("yellow", "not promoted: not significantly better than the champion"),
    "worse": ("yellow", "not promoted: worse than the champion"),
    "regressed": ("yellow", "not promoted: worse than the champion in a score other than FID"),
    "outside limits": ("red", "not promoted: outside the limits"),
    "refused": ("red", "not promoted: not comparable"),
    "rejected": ("yellow", "not promoted: rejected by a person"),
    "expired": ("yellow", "not promoted: not approved in time"),
    "withdrawn": ("yellow", "not promoted: it was rolled back before"),
}


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered version: name and number, whether it is new, aliases, the champion's number, and its MLflow run."""

    name: str
    version: int
    new: bool
    aliases: tuple[str, ...]
    champion: int | None
    run_id: str


@dataclass
class PipelineResult:
    """The result of the pipeline.

    seconds: wall clock of the run. champion: the champion's scores under the same conditions. judged: the candidate's
    scores that were compared with them. drift: the result of the drift check. uncommitted: files of results and
    parameters that differ from git's. warnings: shown at the end.
    """

    stages: Sequence[StageRun]
    verdict: Verdict
    registered: RegisteredVersion
    metrics: dict[str, Any]
    seconds: float = 0.0
    champion: dict[str, Any] | None = None
    judged: dict[str, Any] | None = None
    drift: Mapping[str, Any] | None = None
    uncommitted: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)


def heading(verdict: Verdict) -> tuple[str, str]:
    """Style and text of a verdict."""
    if verdict.verdict in {"first", "better"} and not verdict.promote:
        return "yellow", "not promoted: rolled back before"
    if verdict.verdict == "first" and not any(row.limit for row in verdict.rows):
        return "yellow", "promoted: the first champion; no limits are set"
    return HEADINGS[verdict.verdict]


def show(result: PipelineResult, console: "Console", prefect: str = "") -> None:
    """Print the summary. prefect: the address of Prefect's page if its server outlives the run."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    style, text = heading(result.verdict)
    registered = result.registered
    if result.verdict.verdict == "unchanged" and registered.champion != registered.version:
        style, text = "yellow", "not promoted: the champion's own weights"
    console.print()
    title = Text.assemble((terminal.field(f"{registered.name} version {registered.version}"), "bold"), f" {text}")
    console.print(Rule(title, style=style, align="left"))
    scores = score_table(result.verdict.rows, ScoreRecord.from_json(result.metrics), narrow=console.width < NARROW)
    for part in (scores, reasons(result), times(result), next_steps(result, prefect)):
        console.print(Padding(part, (1, 0, 0, 1)))
    console.print()


def score_table(rows: Sequence[ScoreRow], record: ScoreRecord, *, narrow: bool = False) -> "RenderableType":
    """Make a table of the scores, those of champion and real images, and the limits.

    The extractor is named once, in the heading. Only the names are wrapped on a narrow terminal.
    """
    from rich.table import Table
    from rich.text import Text

    extractor = fid_name(record.conditions).removeprefix("FID")
    marks = {True: Text("yes", "green"), False: Text("no", "bold red"), None: Text("")}
    table = Table(box=None, pad_edge=False, padding=(0, 1 if narrow else 2, 0, 0), header_style="dim")
    table.add_column(f"score{terminal.field(extractor)}")
    compared = any(row.champion is not None for row in rows)
    for title in ("model", *(["champion"] if compared else []), "real", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("ok", no_wrap=True)
    for row in rows:
        name = row.name.replace(extractor, "").removesuffix(" to real images")
        limit = row.limit.replace("at most", "max").replace("at least", "min")
        table.add_row(
            Text(terminal.field(name)),
            Text(number(row, row.candidate), "bold"),
            *([number(row, row.champion)] if compared else []),
            number(row, row.floor),
            Text(limit or "-"),
            marks[row.ok],
        )
    return table


def reasons(result: PipelineResult) -> "RenderableType":
    """The verdict's reasons, and the state of the registry."""
    registered = result.registered
    lines = [("Why", "; ".join(result.verdict.reasons))]
    state = "registered now" if registered.new else "registered before"
    aliases = " and ".join(registered.aliases)
    aliases = f", alias{'es' if len(registered.aliases) > 1 else ''} {aliases}" if aliases else ", no alias"
    lines.append(("Version", f"models:/{registered.name}/{registered.version}, {state}{aliases}"))
    if registered.champion is None:
        lines.append(("Champion", "none: nothing has been promoted yet"))
    elif registered.champion != registered.version:
        lines.append(("Champion", f"models:/{registered.name}/{registered.champion} stays"))
    if result.drift is not None:
        lines.append(("Data", result.drift["words"]))
    return pairs(lines)


def times(result: PipelineResult) -> "RenderableType":
    """Result and duration of each stage."""
    parts = [
        f"{each.stage} {each.result.lower() if each.seconds < 1 else duration(each.seconds)}" for each in result.stages
    ]
    if len({each.result for each in result.stages}) == 1 and result.stages[0].result == "Cached":
        parts = [f"all {len(parts)} stages cached: nothing changed"]
    return pairs([("Time", f"{duration(result.seconds)} in all: {', '.join(parts)}")])


def next_steps(result: PipelineResult, prefect: str) -> "RenderableType":
    """The files, pages and commands to look at next."""
    registered = result.registered
    sampled, address = "the champion", f"models:/{registered.name}@champion"
    if registered.champion is None:
        sampled, address = "this model", f"models:/{registered.name}/{registered.version}"
    lines = [
        ("Report", f"{PAGE}  (pictures, scores and curves)"),
        ("Pages", "ddpm ui  (this run in MLflow and Prefect)" + (f"  now also at {prefect}" if prefect else "")),
        ("Sample", f"ddpm sample --model {shlex.quote(address)}  ({sampled})"),
        ("Models", "ddpm status  (versions and aliases; ddpm promote, ddpm rollback)"),
    ]
    if result.uncommitted:
        add = f"git add {' '.join(result.uncommitted)} && git commit -m results"
        lines.append(("Compare", f"{add}  (`dvc metrics diff` and `dvc plots diff` compare later runs with this one)"))
    lines += [("Warning", each) for each in result.warnings]
    return pairs(lines)


def pairs(lines: Sequence[tuple[str, str]]) -> "RenderableType":
    """A grid with a label and a text per line."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", min_width=8)
    table.add_column(overflow="fold")
    for label, line in lines:
        table.add_row(label, Text(terminal.field(line)))
    return table


def number(row: ScoreRow, value: float | None) -> str:
    """Format a value of a row; None as a dash."""
    return score_text.text(row.name, value) or "-"


def to_markdown(result: PipelineResult) -> str:
    """The summary in Markdown, for Prefect's page."""
    registered = result.registered
    lines = [
        f"**{escape(registered.name)} version {registered.version}** {heading(result.verdict)[1]}",
        "",
        *(f"- {escape(reason)}" for reason in result.verdict.reasons),
        *([f"- data: {escape(result.drift['words'])}"] if result.drift is not None else []),
        "",
        "| score | this model | champion | real images | limit | passed |",
        "|---|---:|---:|---:|---:|---|",
    ]
    marks = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {escape(row.name)} | {number(row, row.candidate)} | {number(row, row.champion)} | {number(row, row.floor)} "
        f"| {escape(row.limit or '-') if row.limit else '-'} "
        f"| {marks[row.ok]} |"
        for row in result.verdict.rows
    ]
    lines += ["", *(f"- warning: {escape(each)}" for each in result.warnings)]
    lines += ["", "| stage | state | time |", "|---|---|---:|"]
    lines += [f"| {escape(each.stage)} | {each.result} | {duration(each.seconds)} |" for each in result.stages]
    return "\n".join(lines)
