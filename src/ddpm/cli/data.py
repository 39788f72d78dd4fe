"""`ddpm data`: which images the model is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.redact import has_secret, shown

if TYPE_CHECKING:
    from ddpm.cli.proposal import Change
    from ddpm.data.survey import Survey

app = typer.Typer(no_args_is_help=True, help="Which images the model is made of: use your own, look at what is there.")


@app.command()
def use(
    source: Annotated[
        str,
        typer.Argument(help="A folder, a zip or tar archive, a URL that `dvc import-url` takes, or: mnist, digits."),
    ],
    apply: Annotated[bool, typer.Option("--apply", help="Also write the proposed parameters to params.yaml.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace `data` even if it cannot be brought back.")] = False,
) -> None:
    """Use other images: looked at first, then put in place of `data`, all or nothing.

    Sub-folders are classes; a flat folder is unlabelled. Formats: PNG, JPEG, WebP, BMP, TIFF, GIF.
    """
    from ddpm.cli import switch

    _in_project()
    with switch.clean():
        if not force and (why := switch.unsaved()):
            raise ValueError(
                f"`data` cannot be brought back once replaced: {why}. Keep it with `dvc add data`, or say --force."
            )
        if has_secret(source):
            raise ValueError(
                f"{shown(source)}: the address holds a password or a signature, and data.dvc, which git keeps, would "
                "name it. Give the address to DVC as a remote and the secret to its local file, which git ignores:\n"
                "  dvc remote add NAME URL\n  dvc remote modify --local NAME password ...   (or user, access_key_id)\n"
                "  ddpm data use remote://NAME/PATH"
            )
        local = Path(source).expanduser()
        is_local = source not in switch.embedded() and "://" not in source
        if is_local:
            _check_local(local)
        found = _look(local) if is_local else None
        print(f"fetching {source} (a copy goes to DVC's cache)", flush=True)
        switch.fetch(str(local) if is_local else source)
        found = found or _look(switch.INCOMING)
        switch.swap(source)
    print(f"data is now {source}; data.dvc says so.")
    _say_next(source, found, apply)


@app.command()
def update() -> None:
    """Fetch the source of `data` again, with the same care, if it came from a folder, archive or URL."""
    from ddpm.cli import switch

    _in_project()
    dependencies = switch.pointer().get("deps", [])
    if not dependencies:
        raise ValueError(
            "data.dvc names no source: these data were added, not imported. Change `data`, then `dvc add data`."
        )
    use(dependencies[0]["path"])


@app.command()
def status() -> None:
    """Say what the data are, where they came from, and whether they are what data.dvc names."""
    from ddpm.cli import switch
    from ddpm.data.sources import class_names, find

    _in_project()
    switch.recover()
    told = switch.pointer()
    if not told:
        raise ValueError("data.dvc does not exist. Choose data: `ddpm data use SOURCE` (for example: mnist).")
    out, source = told["outs"][0], [dependency["path"] for dependency in told.get("deps", [])]
    names = [name for name in switch.embedded() if switch.embedded_hash(name) == out["md5"]]
    origin = (
        f"the embedded set {names[0]}"
        if names
        else f"imported from {shown(source[0])}"
        if source
        else "added with `dvc add`"
    )
    print(f"data.dvc: {out['md5']} ({out.get('size', 0):,} bytes), {origin}")
    if not switch.DATA.exists():
        raise ValueError(
            "`data` is not here. Get it: `dvc pull data.dvc`" + (", or `ddpm data update`." if source else ".")
        )
    files = find(switch.DATA)
    labels = {name for name in class_names([entry.path for entry in files.entries]) if name is not None}
    print(f"data: {files.kind}, {len(files.entries):,} files, {len(labels)} class folders")
    why = switch.unsaved()
    print(f"note: `data` is not what data.dvc names: {why}" if why else "`data` is what data.dvc names.")
    if out.get("remote") == "embedded" and not names:
        print("note: data.dvc names the remote of the embedded sets; delete its line `remote: embedded`.")


def _in_project() -> None:
    """Everything here is relative to the project's folder."""
    if not Path(".dvc").is_dir() or not Path("params.yaml").exists():
        raise ValueError(f"{Path.cwd()} is not the project's folder (it has no .dvc and params.yaml). Go there first.")


def _check_local(path: Path) -> None:
    """A local source has to be there, and not be what it would replace."""
    from ddpm.cli import switch

    if not path.exists():
        known = ", ".join(switch.embedded())
        raise FileNotFoundError(f"{path} does not exist. Give a folder, a zip or tar archive, a URL, or: {known}.")
    here, there = switch.DATA.resolve(), path.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise ValueError(
            f"{path} is, or holds, or lies in, `data` itself. Move the images elsewhere, or use `dvc add data`."
        )


def _look(location: Path) -> "Survey":
    """Read everything at a place and say what it is. Raises DataError when `prepare` would refuse it."""
    from ddpm import params
    from ddpm.data import survey
    from ddpm.data.errors import DataError, listing
    from ddpm.data.sources import find
    from ddpm.progress import progress

    now = params.load()
    source = find(location)
    with progress("looking", len(source.entries), "files") as shown:
        found = survey.survey(source, max_pixels=now.prepare.max_pixels, advance=shown.advance)
    bad = listing([f"{path}: {reason}" for path, reason in found.bad])
    share = now.prepare.max_bad_fraction
    if not found.count or len(found.bad) > share * len(source.entries):
        raise DataError(
            f"{len(found.bad):,} of {len(source.entries):,} files are no usable images, above "
            f"prepare.max_bad_fraction = {share}. Nothing was changed. Mend or remove them:\n{bad}"
        )
    print("\n".join(survey.in_words(found)))
    if bad:
        print(f"these will be set aside:\n{bad}")
    return found


def _say_next(source: str, found: "Survey", apply: bool) -> None:
    """The parameters that suit the data, and what to run."""
    from ddpm import params
    from ddpm.cli import edit, switch
    from ddpm.cli.proposal import propose

    steps = ["git add data.dvc params.yaml && git commit -m 'Other data'", "make run"]
    if source in switch.embedded():
        steps.insert(0, f"ddpm preset {'quick' if source == 'digits' else source}")
    else:
        name = source.rstrip("/").rsplit("/", 1)[-1].partition(".")[0]
        changes = propose(found, params.load(), name)
        text = params.PARAMS_FILE.read_text(encoding="utf-8")
        missing = edit.missing_files(text, {change.key: change.value for change in changes})
        if changes and apply:
            edit.write(params.PARAMS_FILE, edit.changed(text, {change.key: change.value for change in changes}))
            print("params.yaml was changed:")
        elif changes:
            print("these parameters suit the data (`ddpm data use SOURCE --apply` writes them):")
            steps.insert(0, "edit params.yaml")
        _show(changes)
        for each in missing:
            print(f"note: with these parameters `make run` will refuse to begin: {each}")
        print(
            "note: these data are in no DVC remote, so another clone does not get them from data.dvc alone; "
            "`dvc remote add -d NAME URL`, then `dvc push data.dvc`."
        )
    print("next:\n" + "\n".join(f"  {step}" for step in steps))


def _show(changes: "list[Change]") -> None:
    """The lines of params.yaml, by section."""
    from ddpm.cli.edit import said

    section = ""
    for change in changes:
        head, _, key = change.key.partition(".")
        if head != section:
            section = head
            print(f"  {section}:")
        print(f"    {f'{key}: {said(change.value)}':<32}# {change.why}")
