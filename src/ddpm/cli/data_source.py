"""What `ddpm data` reads of a source before it replaces the data: images, or a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.cli.proposal import Change
    from ddpm.config.params import Params
    from ddpm.data.series.survey import SeriesSurvey
    from ddpm.data.survey import Survey


def contents(location: Path) -> list[str]:
    """Describe the data in lines."""
    from ddpm.data.series import survey, table
    from ddpm.data.sources import find

    if table.locate(location) is not None:
        return survey.lines(survey.survey(location))
    files = find(location)
    labels = {name for name in files.class_names([entry.path for entry in files.entries]) if name is not None}
    found = f"data: {files.kind}, {len(files.entries):,} files, {len(labels)} classes"
    return [found, *(f"note: {note}" for note in files.notes())]


def propose(found: "Survey | SeriesSurvey", name: str) -> "list[Change]":
    """List the parameters that suit the data."""
    from ddpm.cli import proposal, series_proposal
    from ddpm.config import params
    from ddpm.data.survey import Survey

    now = params.load()
    if isinstance(found, Survey):
        return proposal.propose(found, now, name)
    return series_proposal.propose(found, now, name)


def examples(found: "Survey | SeriesSurvey", settings: "Params") -> dict[str, Any]:
    """The section `image` of the config of a model of these data, before their scale is known."""
    from ddpm.config.sections.prepare import Series
    from ddpm.data.survey import Survey

    section = settings.prepare
    if isinstance(found, Survey) and not isinstance(section, Series):
        classes = found.classes if section.labelled else ()
        return {"resolution": section.resolution, "channels": section.channels, "classes": list(classes)}
    if isinstance(found, Survey) or not isinstance(section, Series):
        raise TypeError("the parameters are for another kind of data")
    columns = ["value"] if section.layout == "separate" else list(found.cleaned.table.columns)
    of_channel = {"mean": [0.0] * len(columns), "std": [1.0] * len(columns)}
    shape = {"resolution": section.window, "channels": len(columns), "classes": []}
    return {**shape, "kind": section.kind, "columns": columns, "transform": section.transform, **of_channel}


def read(location: Path, again: bool = False) -> "Survey | SeriesSurvey":
    """Read all data at a location and describe them. Raises DataError if stage `prepare` would refuse them.

    again: params.yaml is for this source already.
    """
    from ddpm.config import params
    from ddpm.data.series import prepare, survey, table

    if table.locate(location) is None:
        return _images(location)
    now = params.load().prepare  # invalid parameters are an error before data are replaced
    if again and now.kind == "series":
        form = table.Form(now.dates, now.decimal)
        prepare.read(location, form, columns=now.columns, missing=now.missing, duplicates=now.duplicates)
    found = survey.survey(location)
    terminal.echo(*survey.lines(found))
    return found


def _images(location: Path) -> "Survey":
    """Read all images at a location and describe them. Raises DataError if stage `prepare` would refuse them."""
    from ddpm.cli.proposal import unlabelled
    from ddpm.common.progress import progress
    from ddpm.config import params
    from ddpm.config.sections.prepare import Images
    from ddpm.data import survey
    from ddpm.data.errors import DataError, listing
    from ddpm.data.prepare import SMALLEST_SET
    from ddpm.data.sources import find

    now = params.load()
    limits = now.prepare if now.prepare.kind == "images" else Images()
    source = find(location)
    with progress("checking", len(source.entries), "files") as shown:
        found = survey.survey(source, max_pixels=limits.max_pixels, background=limits.background, advance=shown.advance)
    bad = listing([f"{path}: {reason}" for path, reason in found.bad])
    share = limits.max_bad_fraction
    if not found.count or len(found.bad) > share * len(source.entries):
        raise DataError(
            f"{len(found.bad):,} of {len(source.entries):,} files are not usable images, above "
            f"prepare.max_bad_fraction = {share}. Nothing was changed. Repair or remove them:\n{bad}"
        )
    if found.count < 3 * SMALLEST_SET:
        raise DataError(
            f"{location} has {found.count:,} images; at least {3 * SMALLEST_SET} are needed: {2 * SMALLEST_SET} "
            f"for training and {SMALLEST_SET} held out. Nothing was changed. Add images."
        )
    terminal.echo(*survey.lines(found))
    if note := unlabelled(found, now):
        terminal.echo(f"note: {note}")
    if bad:
        terminal.echo("these files will be skipped:", *bad.split("\n"))
    return found
