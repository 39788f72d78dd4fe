"""Checks of `ddpm doctor` for the project: repository, data, parameters, extractor, remote."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ddpm.cli.findings import Finding, Status
from ddpm.common.redact import has_secret


def repository() -> Iterator[Finding]:
    """Check the git state, which a model's lineage records."""
    from ddpm.provenance import git

    if trouble := git.trouble():
        if shutil.which("git"):  # otherwise reported by machine_checks.tools
            state: Status = "note" if "no commit yet" in trouble else "missing"
            yield Finding(state, "git", f"{trouble}. Until then models are recorded without a commit")
        return
    changed = git.text("status", "--porcelain")
    if changed:
        yield Finding("note", "git", f"{len(changed.splitlines())} uncommitted changes: models record them as a patch")


def data() -> Iterator[Finding]:
    """Check the images and data.dvc."""
    if Path("data.dvc").exists() and has_secret(Path("data.dvc").read_text(encoding="utf-8")):
        remedy = "ddpm data use remote://NAME/PATH, with the secret in .dvc/config.local; then change the password"
        yield Finding("missing", "data", f"data.dvc holds a password, which git would store: {remedy}")
    if not Path("data.dvc").exists():
        yield Finding("missing", "data", "no data.dvc; ddpm data use SOURCE, or git checkout data.dvc")
    elif not Path("data").exists():
        yield Finding("note", "data", "not fetched yet; make run fetches it (or: dvc pull data.dvc)")
    else:
        count = sum(1 for each in [Path("data"), *Path("data").rglob("*")] if each.is_file())
        yield Finding("ok", "data", f"{count:,} {'file' if count == 1 else 'files'} in data/")


def parameters() -> Iterator[Finding]:
    """Check params.yaml."""
    from ddpm.config import params

    try:
        settings = params.load()
    except params.ParamsError as error:
        yield Finding("missing", "params", str(error))
        return
    problems = settings.missing_files()
    for each in problems:
        yield Finding("missing", "params", each)
    if not problems:
        yield Finding("ok", "params", "params.yaml is valid")
    if not settings.promote.limited:
        yield Finding("note", "params", "no limits are set: the first model becomes champion regardless of its scores")


def scores() -> Iterator[Finding]:
    """Check that images and parameters agree on labels, and that the extractor's weights exist."""
    from ddpm.config import params
    from ddpm.data.errors import DataError
    from ddpm.data.sources import find

    try:
        now = params.load()
    except params.ParamsError:
        return  # reported by `parameters`
    extractor = now.features.choice(labelled=now.prepare.labelled, kind=now.prepare.kind)
    if extractor in ("inception", "dinov2") and not Path(now.features.weights or "?").is_file():
        first = 'pip install ".[inception]", then ' if extractor == "inception" else ""
        remedy = f"{first}ddpm weights {extractor}, then name the file in features.weights"
        yield Finding("missing", "scores", f"features.weights must name the weights of {extractor}: {remedy}")
    else:
        yield Finding("ok", "scores", f"from features of {extractor}")
    if now.prepare.kind != "images" or not Path("data").exists():
        return
    try:
        found = find(Path("data"))
    except (DataError, OSError) as error:
        yield Finding("missing", "data", str(error))
        return
    for note in found.notes():
        yield Finding("note", "data", note)
    without = found.class_names([entry.path for entry in found.entries]).count(None)
    if now.prepare.labels == "folders" and without * 100 > len(found.entries):
        remedy = "put each class into its own folder, or set prepare.labels: none and features.extractor: auto"
        more = "docs/data.md, `Without labels`"
        yield Finding("missing", "labels", f"{without:,} files in data have no class: {remedy} ({more})")


def dvc_remote() -> Iterator[Finding]:
    """Report a default DVC remote set outside the project."""
    from ddpm.data import dvc_settings

    if Path(".dvc").is_dir() and (note := dvc_settings.outside_remote()):
        yield Finding("note", "dvc", note)
