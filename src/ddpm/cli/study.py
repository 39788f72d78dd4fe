"""`ddpm study`: train the current recipe with several seeds, and measure how much its scores vary."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import project
from ddpm.cli.trial import execute, log
from ddpm.common import terminal
from ddpm.common.locks import locked

if TYPE_CHECKING:
    from ddpm.evaluation.seed_spread import Study
    from ddpm.trials.records import Record

app = typer.Typer()

OUT = Path("out/report/study.json")


@app.command()
def study(
    seeds: Annotated[int, typer.Option(help="Number of training seeds, counted up from train.seed.", min=2, max=100)],
    budget: Annotated[float, typer.Option(help="Share of the training images (above 0, at most 1).")] = 1.0,
    out: Annotated[Path, typer.Option(help="The result as JSON.")] = OUT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of tables.")] = False,
) -> None:
    """Measure how much scores vary between training seeds.

    The same recipe is trained and scored once for each seed. The result tells how often the gate would promote one
    seed over another at the current promote.min_improvement, and proposes a value. The same command continues after an
    interruption; more seeds add to those that are done.
    """
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder; name a file")
    project.enter("study")
    from ddpm import tracking
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.evaluation import seed_spread
    from ddpm.trials import engine, records
    from ddpm.trials import request as requested

    limits = params.load().promote.model_dump(exclude=engine.NOT_LIMITS)
    with locked(records.LOCK, "another `ddpm try` is running in this project", patience=0), tracking.friendly_errors():
        result = requested.run(requested.Request((), seeds, budget), execute, log(as_json=as_json))
    if result.failed:
        for each in result.records:
            if each.state == "failed":
                terminal.error(f"{each.name} failed. {each.reason}")
        raise typer.Exit(1)
    found = seed_spread.study([each.metrics for each in result.records], limits)
    content = _content(found, result.records, limits)
    files.write_json(out, content)
    if as_json:
        terminal.echo_json(content, indent=2)
    else:
        _show(found, result.records, out)


def _content(found: "Study", records: "list[Record] | Any", limits: dict[str, Any]) -> dict[str, Any]:
    """The study as JSON: spreads, share of promoted pairs, proposal, conditions, limits, and each seed's scores."""
    from ddpm.trials.request import scores

    conditions = {key: value for key, value in records[0].scores.conditions.items() if key != "weights_sha256"}
    return {
        **found.as_json(),
        "budget": records[0].budget,
        "conditions": conditions,
        "limits": limits,
        "parameters": records[0].values,
        "seeds": [
            {"seed": each.seed, "trial": each.name, "commit": each.commit, "scores": scores(each.metrics)}
            for each in records
        ],
    }


def _show(found: "Study", records: "list[Record] | Any", out: Path) -> None:
    from ddpm.cli.trial_summary import paragraph, table
    from ddpm.common.units import score_number
    from ddpm.evaluation import score_text
    from ddpm.evaluation.score_record import fid_name
    from ddpm.report import scores

    names = {kind.key: kind.name for kind in scores.KINDS}
    cells = [
        (names[key], *(score_number(value, digits=digits, share=key in score_text.SHARES) for value, digits in
                       ((each.mean, 3), (each.std, 2), (each.low, 3), (each.high, 3))),
         f"{abs(each.std / each.mean):.1%}" if each.mean else "")
        for key, each in found.scores.items()
    ]  # fmt: skip
    table((f"{len(records)} training seeds", "mean", "deviation", "min", "max", "relative"), cells)
    terminal.echo(fid_name(records[0].scores.conditions))
    share = f"{found.promoted:.1%} of {found.pairs} ordered pairs of seeds"
    paragraph(
        f"At promote.min_improvement = {found.min_improvement:g}, the gate promotes one seed over another in {share}."
    )
    if found.proposed is None:
        terminal.echo("With three seeds or more, a value is proposed.")
    else:
        paragraph(
            f"Proposed: promote.min_improvement = {found.proposed:g}. Chance of the seed then exceeds it in at most 5% "
            "of comparisons, as far as these seeds show; more seeds show it better."
        )
        if found.proposed != found.min_improvement:
            terminal.echo(f"apply it: ddpm run --set promote.min_improvement={found.proposed:g}")
    terminal.echo(f"{out}: everything, with its conditions")
