"""The output of `ddpm prune`: what is deleted, or would be."""

from typing import TYPE_CHECKING

from ddpm.cli.tables import Column, show
from ddpm.common import terminal
from ddpm.common.units import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddpm.registry import RejectedRun


def days(given: float | None) -> float:
    """Return the given number of days, or flow.rejected_days. Raises ParamsError if neither is set."""
    from ddpm.config import params

    chosen = params.load().flow.rejected_days if given is None else given
    if chosen is None:
        raise params.ParamsError(
            "flow.rejected_days is null: rejected candidates are kept. Set it, or give --rejected-days N."
        )
    return chosen


def prune_versions(model: str, keep: int, *, delete: bool) -> None:
    """List or delete all but the newest `keep` versions without an alias."""
    from ddpm import registry

    numbers = registry.prune(model, keep, dry_run=not delete)
    terminal.echo(f"{model}: versions {'deleted' if delete else 'to delete'}: {', '.join(map(str, numbers)) or 'none'}")


def prune_rejected(model: str, limit: float, *, delete: bool) -> None:
    """List or delete the candidates that were rejected more than `limit` days ago."""
    from ddpm import registry

    found = registry.prune_rejected(model, limit) if delete else registry.list_rejected(model, limit)
    if not found:
        terminal.echo(f"{model}: no candidate was rejected more than {limit:g} days ago")
        return
    _show(found)
    terminal.echo(registry.summarise_rejected(found, deleted=delete))


def _show(found: "Sequence[RejectedRun]") -> None:
    from rich.console import Console

    versions = [", ".join(map(str, each.versions)) or "-" for each in found]
    columns = {
        "version": Column((versions,), required=True),
        "age": Column(([f"{each.days:.0f} days" for each in found],), required=True),
        "size": Column(([size(each.size) for each in found],), required=True),
        "run": Column(([each.title for each in found],)),
        "id": Column(([each.run_id for each in found], [each.run_id[:8] for each in found])),
    }
    show(Console(), columns, ("id", "id", "run"))
