"""`ddpm data`: the training images or series."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from ddpm.cli import data_source
from ddpm.common import terminal
from ddpm.common.redact import has_secret, redact_address
from ddpm.common.units import size

if TYPE_CHECKING:
    from ddpm.data.series.survey import SeriesSurvey
    from ddpm.data.survey import Survey

PRESETS = {"digits": "quick", "oil": "series-quick"}
"""Presets of embedded sets that have another name."""
app = typer.Typer(no_args_is_help=True, help="Replace, update or inspect the training data.")


@app.command()
def use(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or archive of images, a CSV or Parquet table, a URL for `dvc import-url`, or: mnist, "
            "digits, oil."
        ),
    ],
    apply: Annotated[bool, typer.Option("--apply", help="Write the proposed parameters to params.yaml.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace `data` even if it cannot be restored.")] = False,
) -> None:
    """Replace the training data in `data` by those of a source.

    The data are checked first; `data` is replaced completely or not at all. Of images, sub-folders are classes and a
    flat folder is unlabelled; formats: PNG, JPEG, WebP, BMP, TIFF, GIF. A table has dates and columns of numbers.
    """
    from ddpm.data import pointer

    _in_project()
    is_embedded = source in pointer.embedded()
    if is_embedded and Path(source).exists():
        terminal.echo(f"note: {source} is the project's embedded set; for the file or folder here, give ./{source}")
    _replace(source, is_embedded=is_embedded, apply=apply, force=force)


def _replace(
    source: str, *, is_embedded: bool = False, apply: bool = False, force: bool = False, again: bool = False
) -> None:
    """Check a source, or an embedded set by its name, and replace `data` by it. Raises ValueError, OSError.

    again: params.yaml is for this source already, so series must be readable as it says.
    """
    from ddpm.data import dvc_settings, replace

    with replace.clean():
        if not force and (why := replace.unsaved()):
            raise ValueError(
                f"`data` could not be restored once replaced: {why}. Save it with `dvc add data`, or use --force."
            )
        if has_secret(source):
            raise ValueError(
                f"{redact_address(source)}: the address holds a password or a signature, and git would store it in "
                "data.dvc. Make the address a DVC remote and put the secret into DVC's local file, which git ignores:\n"
                "  dvc remote add NAME URL\n  dvc remote modify --local NAME password ...   (or user, access_key_id)\n"
                "  ddpm data use remote://NAME/PATH"
            )
        dvc_settings.refuse_links()
        local = None if is_embedded else _local(source)
        found = None
        if local is not None:
            _check_local(local)
            found = data_source.read(local, again)
        terminal.echo(f"fetching {source} (with a copy in DVC's cache)")
        replace.fetch(source if local is None else str(local), is_embedded=is_embedded)
        found = found or data_source.read(replace.INCOMING, again)
        replace.swap(source, is_embedded=is_embedded)
    terminal.echo(f"data and data.dvc are now {source}.")
    _print_next_steps(source, found, apply, is_embedded)


def _local(source: str) -> Path | None:
    """Return the path of a local source, or None for a remote address."""
    if source.startswith("file://"):
        return Path(url2pathname(urlsplit(source).path))
    return None if "://" in source else Path(source).expanduser()


@app.command()
def update() -> None:
    """Fetch the images again from the source in data.dvc.

    They are checked and replaced as by `ddpm data use`.
    """
    from ddpm.data import pointer

    _in_project()
    dependencies = pointer.sources()
    if not dependencies:
        raise ValueError(
            "data.dvc names no source: the data were added, not imported. Change `data`, then `dvc add data`."
        )
    _replace(dependencies[0]["path"], again=True)


@app.command()
def status() -> None:
    """Show contents and source of `data`, and compare it with data.dvc."""
    from ddpm.data import pointer, replace

    _in_project()
    with replace.exclusive():
        replace.recover()
    recorded = pointer.read()
    if not recorded:
        raise ValueError("data.dvc does not exist. Choose data: `ddpm data use SOURCE`, for example mnist.")
    out, source = recorded["outs"][0], [dependency["path"] for dependency in recorded.get("deps", [])]
    names = [name for name in pointer.embedded() if pointer.embedded_hash(name) == out.get("md5")]
    origin = (
        f"the embedded set {names[0]}"
        if names
        else f"imported from {redact_address(source[0])}"
        if source
        else "added with `dvc add`"
    )
    terminal.echo(f"data.dvc: {out.get('md5', 'no hash yet')} ({size(out.get('size', 0))}), {origin}")
    if not pointer.DATA.exists():
        raise ValueError(
            "`data` does not exist. Fetch it: `dvc pull data.dvc`" + (", or `ddpm data update`." if source else ".")
        )
    terminal.echo(*data_source.contents(pointer.DATA))
    why = replace.unsaved()
    terminal.echo(f"note: `data` differs from data.dvc: {why}" if why else "`data` matches data.dvc.")
    if out.get("remote") == "embedded" and not names:
        terminal.echo("note: data.dvc names the remote of the embedded sets; delete its line `remote: embedded`.")


@app.command()
def arrived() -> None:
    """Report new images to Prefect, which then retrains.

    Emits the event `ddpm.data-arrived`, upon which an automation of the service starts `retrain`.
    """
    from ddpm.cli import project
    from ddpm.config import params

    project.enter("data arrived")
    from flows.service import data_arrival
    from flows.service.prefect_server import ServerError

    try:
        data_arrival.announce(params.model_name())
    except ServerError as error:
        terminal.error(error)
        raise typer.Exit(1) from error


def _in_project() -> None:
    """Require the project folder as the current one. Raises ValueError."""
    if not Path(".dvc").is_dir() or not Path("params.yaml").exists():
        raise ValueError(f"{Path.cwd()} is not the project folder, which has .dvc and params.yaml. Run this there.")


def _check_local(path: Path) -> None:
    """Require that a local source exists, is readable, and does not overlap with `data`.

    Raises FileNotFoundError, ValueError.
    """
    from ddpm.data import pointer
    from ddpm.data.sources import check_copyable

    if not path.exists():
        known = ", ".join(pointer.embedded())
        raise FileNotFoundError(f"{path} does not exist. Give a folder, a zip or tar archive, a URL, or: {known}.")
    here, there = pointer.DATA.resolve(), path.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise ValueError(f"{path} overlaps with `data` itself. Move the images elsewhere, or use `dvc add data`.")
    if path.is_dir():
        check_copyable(path)


def _print_next_steps(source: str, found: "Survey | SeriesSurvey", apply: bool, is_embedded: bool) -> None:
    """Print or apply parameters that suit the data, and print the next commands."""
    from ddpm.cli import edit, proposal
    from ddpm.config import params
    from ddpm.data import dvc_settings

    steps = ["git add data.dvc params.yaml && git commit -m 'Other data'", "make run"]
    if is_embedded:
        steps.insert(0, f"ddpm preset {PRESETS.get(source, source)}")
    else:
        name = source.rstrip("/").rsplit("/", 1)[-1].partition(".")[0]
        changes = data_source.propose(found, name)
        text = proposal.in_text(params.PARAMS_FILE.read_text(encoding="utf-8"), changes)
        proposed = edit.parsed(text)
        if changes and apply:
            edit.write(params.PARAMS_FILE, text)
            terminal.echo("params.yaml was changed:")
        elif changes:
            terminal.echo("these parameters suit the data (`ddpm data use SOURCE --apply` writes them):")
            steps.insert(0, "edit params.yaml")
        proposal.show(changes)
        terminal.echo(proposal.cost(proposed, data_source.examples(found, proposed)))
        if note := dvc_settings.outside_remote():
            terminal.echo(f"note: {note}")
        for each in proposed.missing_files():
            terminal.echo(f"note: with these parameters `make run` fails at the start: {each}")
        terminal.echo(
            "note: these data are not in a DVC remote, so another clone cannot fetch them; run "
            "`dvc remote add -d NAME URL`, then `dvc push data.dvc`."
        )
    terminal.echo("next:", *(f"  {step}" for step in steps))
