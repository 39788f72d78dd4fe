"""Stage prepare: images or series in, one checked array out."""

from pathlib import Path
from typing import Any

from ddpm.stages import run

DATA, OUT = Path("data"), Path("out/prepare")


def main() -> None:
    """Prepare `data` by the parameters of section prepare; train.batch is the smallest training split allowed."""
    from ddpm.common import terminal
    from ddpm.config import params
    from ddpm.data.series import prepare

    settings = params.load()
    chosen = settings.prepare.model_dump(exclude={"kind"}) | {"min_train": settings.train.batch}
    if settings.prepare.kind == "series":
        terminal.echo(*prepare.lines(prepare.prepare(DATA, OUT, **chosen)))
    else:
        _prepare_images(chosen)


def _prepare_images(chosen: dict[str, Any]) -> None:
    """Prepare images by the keys of section prepare."""
    from ddpm.common import terminal
    from ddpm.common.progress import progress
    from ddpm.data import statistics
    from ddpm.data.errors import listing
    from ddpm.data.manifest import read_head
    from ddpm.data.prepare import prepare
    from ddpm.data.sources import find

    source = find(DATA)
    for note in source.notes():
        terminal.echo(f"note: {note}")
    with progress("prepare", len(source.entries), "files") as shown:
        found = prepare(source, OUT, **chosen, advance=shown.advance)
    terminal.echo(*statistics.lines(found))
    if aside := read_head(OUT)["set_aside"]:
        bad = listing([f"{each['path']}: {each['reason']}" for each in aside])
        terminal.echo(f"set aside, {len(aside):,} files:", *bad.split("\n"))


if __name__ == "__main__":
    run(main)
