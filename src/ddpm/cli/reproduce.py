"""`ddpm reproduce`: build a recorded model again and say whether it is the same."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.reproduce import Result

app = typer.Typer()
SHOWN = 8


@app.command()
def reproduce(
    model: Annotated[str, typer.Argument(help="models:/NAME@champion, models:/NAME/VERSION, or the id of a run.")],
    into: Annotated[
        Path | None, typer.Option("--into", help="An empty folder; by default one under .state/.", show_default=False)
    ] = None,
    python: Annotated[
        str, typer.Option("--python", help="Rebuild with this interpreter's environment.", show_default=False)
    ] = "",
    here: Annotated[bool, typer.Option("--here", help="Rebuild with the environment of this command.")] = False,
    repository: Annotated[str, typer.Option("--repository", help="Where the recorded commit is.")] = ".",
) -> None:
    """Build a model again from its record: the commit, its changes, the data, the parameters, the lock file.

    Exit status 0 when the weights are identical to the bit or the scores agree within their spread, else 1.
    Everything recorded is checked before any work. By default an environment is made from the recorded lock file.
    """
    from ddpm import tracking
    from ddpm.reproduce import reproduce as rebuild

    if here and python:
        raise ValueError("--here and --python exclude each other: each names the environment to use")
    target = into or Path(".state/reproduce") / re.sub(r"[^A-Za-z0-9_.-]+", "-", model.removeprefix("models:/"))
    with tracking.friendly_errors():
        result = rebuild(
            model, target, repository, name="", python=sys.executable if here else python or None,
            log=terminal.echo,
        )  # fmt: skip
    terminal.echo(*sentences(result))
    if not result.good:
        raise typer.Exit(1)


def sentences(result: "Result") -> list[str]:
    """What came of it, for a person."""
    facts = [f"{name} {theirs} then, {ours} now" for name, (theirs, ours) in result.machine.items()]
    if result.identical:
        return [
            f"identical: the rebuilt weights are those recorded, to the bit (SHA-256 {result.lineage.tag('weights')}).",
            *([f"That although the machine differs: {'; '.join(facts)}."] if facts else []),
        ]
    said = ["different: the rebuilt weights are not those recorded to the bit."]
    said.append(
        f"Equal bits were not to be expected: {'; '.join(facts)}."
        if facts
        else "Machine, threads and versions are those recorded, so something that is not recorded has changed."
    )
    said += _distances(result)
    for each in result.scores:
        spread = "no spread is known" if each.spread is None else f"spread {each.spread:.3g}"
        verdict = {True: "agrees", False: "DIFFERS", None: "cannot be judged"}[each.agrees]
        said.append(f"  {each.name:<28} {each.recorded:>12.6g} -> {each.rebuilt:<12.6g} {spread}: {verdict}")
    if result.unknown:
        said.append(result.unknown)
    ends = {
        True: "The scores that have a spread agree within it (two standard deviations of the difference).",
        False: "The scores do not agree within their spread: this is another model.",
        None: "Whether the scores agree cannot be said: none was recorded with its spread.",
    }
    return [*said, ends[result.agree]]


def _distances(result: "Result") -> list[str]:
    from ddpm.reproduce.compare import overall

    if not result.tensors:
        return []
    most = overall(result.tensors)
    lines = [
        f"Largest difference of any weight: {most.absolute:.3g}; relative to its tensor's largest: {most.relative:.3g}."
    ]
    far = list(result.tensors.items())
    lines += [f"  {name:<44} {each.absolute:.3g}  relative {each.relative:.3g}" for name, each in far[:SHOWN]]
    return [*lines, f"  and {len(far) - SHOWN} tensors nearer"] if len(far) > SHOWN else lines
