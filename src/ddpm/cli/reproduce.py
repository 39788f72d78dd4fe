"""`ddpm reproduce`: rebuild a recorded model and compare it with the original."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.cli import options
from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.reproduce import Result

app = typer.Typer()
SHOWN = 8


@app.command()
def reproduce(
    model: options.RecordedArgument,
    into: Annotated[
        Path | None, typer.Option("--into", help="An empty folder; by default one under .state/.", show_default=False)
    ] = None,
    python: Annotated[
        str, typer.Option("--python", help="Use the environment of this interpreter.", show_default=False)
    ] = "",
    here: Annotated[bool, typer.Option("--here", help="Use the environment of this command.")] = False,
    repository: Annotated[str, typer.Option("--repository", help="Repository that has the recorded commit.")] = ".",
    name: options.NameOption = "",
) -> None:
    """Rebuild a model from its record and compare the two.

    Exit status 0 if the weights are bit-identical or the scores agree within their spread, else 1. The recorded commit,
    changes, data, parameters and lock file are checked first. By default the environment is installed from the recorded
    lock file.
    """
    from ddpm import registry, tracking
    from ddpm.reproduce import reproduce as rebuild

    if here and python:
        raise ValueError("--here and --python exclude each other: each chooses the environment")
    model = registry.address(model, name)
    target = into or Path(".state/reproduce") / re.sub(r"[^A-Za-z0-9_.-]+", "-", model.removeprefix("models:/"))
    with tracking.friendly_errors():
        result = rebuild(
            model, target, repository, python=sys.executable if here else python or None,
            log=terminal.echo,
        )  # fmt: skip
    terminal.echo(*sentences(result))
    if not result.good:
        raise typer.Exit(1)


def sentences(result: "Result") -> list[str]:
    """Describe the result."""
    from ddpm.registry.lineage import NOT_RECORDED

    unknown = [name for name, (theirs, _) in result.machine.items() if theirs == NOT_RECORDED]
    facts = [f"{name} {a} then, {b} now" for name, (a, b) in result.machine.items() if a != NOT_RECORDED]
    if result.identical:
        return [
            f"identical: the rebuilt weights equal the recorded ones bit for bit (SHA-256 "
            f"{result.lineage.tag('weights')}).",
            *([f"The machine differs: {'; '.join(facts)}."] if facts else []),
            *([f"Not recorded of the training's machine: {', '.join(unknown)}."] if unknown else []),
        ]
    lines = ["different: the rebuilt weights do not equal the recorded ones bit for bit."]
    lines.append(
        f"Identical bits cannot be expected: {'; '.join(facts)}."
        if facts
        else f"Not recorded of the training's machine: {', '.join(unknown)}, any of which may explain it."
        if unknown
        else "Machine, threads and versions are as recorded, so something that is not recorded has changed."
    )
    lines += _distances(result)
    for each in result.scores:
        spread = "no spread is known" if each.spread is None else f"spread {each.spread:.3g}"
        verdict = {True: "agrees", False: "DIFFERS", None: "cannot be judged"}[each.agrees]
        lines.append(f"  {each.name:<28} {each.recorded:>12.6g} -> {each.rebuilt:<12.6g} {spread}: {verdict}")
    if result.unknown:
        lines.append(result.unknown)
    ends = {
        True: "The scores that have a spread agree within it (two standard deviations of the difference).",
        False: "The scores do not agree within their spread: this is a different model.",
        None: "The scores cannot be compared: none was recorded with its spread.",
    }
    return [*lines, ends[result.agree]]


def _distances(result: "Result") -> list[str]:
    from ddpm.reproduce.compare import overall

    if not result.tensors:
        return []
    most = overall(result.tensors)
    lines = [
        f"Largest difference of a weight: {most.absolute:.3g}; relative to its tensor's largest: {most.relative:.3g}."
    ]
    far = list(result.tensors.items())
    lines += [f"  {name:<44} {each.absolute:.3g}  relative {each.relative:.3g}" for name, each in far[:SHOWN]]
    return [*lines, f"  and {len(far) - SHOWN} more tensors, with smaller differences"] if len(far) > SHOWN else lines
