"""`ddpm try`: train changed parameters and compare the results with the champion."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options, project
from ddpm.common import terminal
from ddpm.common.locks import locked

if TYPE_CHECKING:
    from ddpm.trials.request import Request

app = typer.Typer()

PAGE = Path("out/report/trials.html")


def keys(incomplete: str) -> list[str]:
    """Complete `train.l` to the keys of params.yaml, each with its equals sign."""
    from ddpm.config import params
    from ddpm.config.params import ParamsError

    try:
        sections = params.read_yaml(params.PARAMS_FILE)
    except ParamsError:
        return []
    found = [f"{section}.{key}=" for section, own in sections.items() if isinstance(own, dict) for key in own]
    return [each for each in found if each.startswith(incomplete)]


def names(incomplete: str) -> list[str]:
    """Complete the name of a trial."""
    from ddpm.trials import records

    return [each.name for each in records.listing() if each.name.startswith(incomplete)]


@app.command("try")
def try_(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.KEY=VALUE",
            help="Parameters to change; train.lr=0.001,0.002 makes two variants, several lists their product.",
            show_default=False,
            autocompletion=keys,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Training seeds of each variant.", min=1, max=100)] = 1,
    budget: Annotated[float, typer.Option(help="Share of the training images (above 0, at most 1).")] = 1.0,
    queue: Annotated[bool, typer.Option("--queue", help="Only queue the variants, for --start.")] = False,
    start: Annotated[bool, typer.Option("--start", help="Run the queue, one request after the other.")] = False,
    keep: Annotated[
        str,
        typer.Option(metavar="NAME", help="Apply a trial to params.yaml and register its model.", autocompletion=names),
    ] = "",
    drop: Annotated[
        str,
        typer.Option(metavar="NAME", help="Remove a trial and its experiment.", autocompletion=names),
    ] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the trials and the queue.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and write no page.")] = False,
    out: Annotated[Path, typer.Option(help="The page, one HTML file.")] = PAGE,
    count: Annotated[int, typer.Option(help="Images of each model on the page.", min=1)] = 32,
    device: options.DeviceOption = "auto",
) -> None:
    """Train changed parameters and compare with the champion.

    params.yaml and the champion stay as they are. The same command continues after an interruption. Without a
    champion, or with a budget below 1, the current recipe is trained too, to compare with.
    """
    chosen = [bool(changes), start, bool(keep), bool(drop), listing]
    if sum(chosen) != 1:
        raise typer.BadParameter("give parameters to change, or one of --start, --keep, --drop, --list.")
    from ddpm.cli import compare

    compare.require_page(out, count)
    project.enter("try")
    if listing:
        _list(as_json)
    elif keep:
        _keep(keep)
    elif drop:
        _drop(drop)
    else:
        from ddpm.trials import queue as waiting
        from ddpm.trials.request import Request

        requests = waiting.read() if start else [Request(tuple(changes or ()), seeds, budget)]
        if queue:
            _queue(requests[0])
        else:
            run(requests, _Page(out, count, device), as_json=as_json, waiting=start)


class _Page:
    """Where and how to write the page."""

    def __init__(self, out: Path, count: int, device: str) -> None:
        self.out, self.count, self.device = out, count, device


def run(requests: "list[Request]", page: _Page, *, as_json: bool = False, waiting: bool = False) -> None:
    """Run requests, print their results, and write the page of the last one. Exit status 1 if a trial failed."""
    from ddpm import tracking
    from ddpm.cli import trial_page, trial_summary
    from ddpm.trials import queue, records
    from ddpm.trials import request as requested

    if not requests:
        terminal.echo("the queue is empty; `ddpm try SECTION.KEY=VALUE --queue` adds a variant")
        return
    failed = False
    with locked(records.LOCK, "another `ddpm try` is running in this project", patience=0):
        for number, request in enumerate(requests, 1):
            out = page.out if len(requests) == 1 else page.out.with_stem(f"{page.out.stem}-{number}")
            try:
                with tracking.friendly_errors():
                    result = requested.run(request, execute, log(as_json=as_json))
                    if as_json:
                        terminal.echo_json(result.as_json(), indent=2)
                    else:
                        trial_summary.show(result)
                        trial_page.write(result, out, page.count, page.device)
            except ValueError as error:
                if not waiting:
                    raise
                terminal.error(f"{' '.join(request.changes)} stays in the queue: {error}")
                failed = True
                continue
            failed = failed or result.failed
            if waiting:
                queue.remove(request)
    if failed:
        raise typer.Exit(1)


def log(*, as_json: bool) -> Callable[[str], None]:
    """Return the function that prints progress: to standard error if standard output is JSON."""
    return partial(terminal.echo, file=sys.stderr) if as_json else terminal.echo


def execute(
    module: str, *arguments: str, log: Callable[[str], None], folder: Path, environment: Mapping[str, str]
) -> Any:
    """Run a module of Python as a process group that ends with this process; Ctrl-C lets training save.

    Stages, run by DVC or directly, hold the GPU slot of the Prefect server, if there are both. Raises ConnectionError.
    """
    from flows import processes
    from flows.service.gpu_slot import gpu_slot

    computes = (module, *arguments[:1]) == ("dvc", "repro") or module.startswith("ddpm.stages.")
    with gpu_slot(log) if computes else contextlib.nullcontext():
        return processes.run(
            processes.module_command(module, *arguments), log, folder=folder.resolve(), environment=environment
        )


def _queue(request: "Request") -> None:
    """Validate a request and queue it."""
    from ddpm.trials import queue
    from ddpm.trials import request as requested

    trials = requested.planned(request, with_reference=False)
    queue.add(request)
    terminal.echo(f"queued: {', '.join(each.name for each in trials)}", "`ddpm try --start` runs the queue")


def _list(as_json: bool) -> None:
    from ddpm.cli import trial_summary
    from ddpm.trials import queue, records, request

    found, waiting = records.listing(), queue.read()
    if as_json:
        trials = [request.entry(each) for each in found]
        terminal.echo_json({"trials": trials, "queue": [each.as_json() for each in waiting]}, indent=2)
    else:
        trial_summary.listing(found, waiting)


def _keep(name: str) -> None:
    """Keep a trial, holding the run lock, because params.yaml and out/ change."""
    from ddpm.trials import records

    record = records.require(name)
    from ddpm import tracking
    from ddpm.trials import keep
    from flows import RUN_LOCK

    keep.require_keepable(record)
    busy = "nothing was kept: another run is active in this checkout"
    with locked(RUN_LOCK, busy, patience=0), tracking.friendly_errors():
        kept = keep.keep(record, execute, terminal.echo)
    changed = " ".join(f"{key}={value}" for key, value in kept.changes.items())
    terminal.echo(
        f"params.yaml now has {changed}" if changed else "params.yaml has these parameters already",
        f"{kept.name} version {kept.number} is {'registered' if kept.new else 'the same model, registered before'}; "
        "the champion is as before",
        "next: `ddpm run` finds everything done, judges this version, and promotes it if it is better",
    )


def _drop(name: str) -> None:
    from ddpm.trials import keep, records

    record = records.require(name)
    with locked(records.LOCK, "a `ddpm try` is running in this project", patience=0):
        keep.drop(record)
    terminal.echo(f"{name} is removed; its MLflow run and files in DVC's cache stay")
