"""`ddpm lineage`: the origin of a model."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.cli.tables import hanging
from ddpm.common import terminal
from ddpm.common.class_names import listed
from ddpm.evaluation import score_text
from ddpm.evaluation.score_record import ScoreRecord, fid_name

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer()
TITLES = {
    "version": "version",
    "run": "MLflow run",
    "training": "training digest",
    "commit": "commit",
    "patch": "changes since",
    "kept": "kept as commit",
    "code": "code",
    "data": "data",
    "params": "params.yaml",
    "lock": "requirements.lock",
    "machine": "trained on",
    "classes": "classes",
    "weights": "weights",
    "scores": "scores",
    "verdict": "gate",
}
SCORES = ("fid", "kid", "inception_score", "precision", "recall", "memorisation_ratio")


@app.command()
def lineage(
    model: options.RecordedArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full record as JSON.")] = False,
    name: options.NameOption = "",
) -> None:
    """Show the origin of a model: code, data, parameters, machine.

    The MLflow run, lock file, weights, scores and verdict are shown too.
    """
    from ddpm import registry, tracking
    from ddpm.registry.lineage import trace

    model = registry.address(model, name)
    with tracking.friendly_errors():
        links = trace(model).as_json()
    if as_json:
        terminal.echo_json(links, indent=2)
        return
    for title, text in _lines(links):
        terminal.echo(*hanging(f"{title:<18} ", text).split("\n"))
    if links["conflicts"]:
        terminal.echo(f"The version and its run disagree about {', '.join(links['conflicts'])}: trust neither.")


def _lines(links: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    """Yield title and text of each link, in order."""
    for key, title in TITLES.items():
        value = links[key]
        if key == "version":
            yield title, f"{value or 'not registered'} {' '.join(f'@{alias}' for alias in links['aliases'])}".rstrip()
        elif key == "classes":
            yield title, listed(value, indices=False) or "none recorded"
        elif key == "machine":
            yield title, ", ".join(f"{name} {fact}" for name, fact in value.items())
        elif key == "scores":
            yield title, _scores(ScoreRecord.from_json(value)) or "none recorded"
        elif key == "verdict":
            verdict = f"{value['verdict']}: {value['reasons']}" if value else "has not judged it"
            yield title, verdict + (f" ({value['evidence']})" if "evidence" in value else "")
        else:
            yield title, str(value)


def _scores(record: ScoreRecord) -> str:
    """Format the main scores, FID with its conditions; "" without any."""
    shown = [(name, value) for name in SCORES if (value := record.value(name)) is not None]
    names = {**score_text.NAMES, "fid": fid_name(record.conditions)}
    return ", ".join(f"{names[name]} {score_text.text(names[name], value)}" for name, value in shown)
