"""`ddpm weights`: the published weights that scores can use, checked and kept under a version."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from ddpm.common import terminal

app = typer.Typer(no_args_is_help=True, help="Published weights: fetched, checked and kept under a version.")

BLOCK = 2**20
SECONDS = 60  # without an answer


@app.callback()
def _group() -> None:
    """Published weights: fetched, checked and kept under a version."""


Source = Annotated[
    str | None, typer.Option("--from", help="A file or URL; by default where it is published.", show_default=False)
]
Folder = Annotated[Path, typer.Option("--to", help="The folder to keep it in.")]


@app.command("inception")
def inception_(source: Source = None, folder: Folder = Path("weights")) -> None:
    """Get the weights of Inception-v3 of 2015-12-05, check their SHA-256, and `dvc add` them."""
    from ddpm.metrics import inception

    _get("inception", source or inception.URL, folder / inception.FILE, inception.SHA256)


@app.command("dinov2")
def dinov2_(source: Source = None, folder: Folder = Path("weights")) -> None:
    """Get the weights of DINOv2 ViT-L/14 (1.2 GB), check their SHA-256, and `dvc add` them."""
    from ddpm.metrics import dinov2

    _get("dinov2", source or dinov2.URL, folder / dinov2.FILE, dinov2.SHA256)


def _get(name: str, source: str, target: Path, sha256: str) -> None:
    """Fetch, keep, and say how the weights are used."""
    fetch(source, target, sha256)
    terminal.echo(f"weights: {target} is the published file (SHA-256 {sha256})")
    if keep(target):
        terminal.echo(
            f"DVC keeps it: commit {target}.dvc and {target.parent / '.gitignore'}, and `dvc push` where there is a "
            "remote"
        )
    terminal.echo(
        f"use it: features.extractor = {name}, features.weights = {target}; or `ddpm score --extractor {name}`"
    )


def fetch(source: str, target: Path, sha256: str) -> None:
    """Copy a file or URL to `target`, if it has that hash; a right one that is there already stays.

    Written to a temporary name while it is hashed, fsynced and renamed. Raises FileNotFoundError, or ValueError when
    the content is another; nothing is left behind then.
    """
    from ddpm.common import files
    from ddpm.common.progress import progress

    if target.is_file() and files.sha256_file(target) == sha256:
        return
    with (
        _opened(source) as (content, size),
        progress("weights", size, "bytes") as shown,
        files.new_file(target) as file,
    ):
        found = _copy(content, file, shown.advance)
        if found != sha256:
            raise ValueError(f"{source} has SHA-256 {found}, and the published file {sha256}; it was not kept")


def keep(target: Path) -> bool:
    """`dvc add`, where this folder is a DVC repository; whether it is."""
    from ddpm.data import dvc

    if not Path(".dvc").is_dir():
        return False
    dvc.run("add", "--quiet", str(target))
    return True


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], int]]:
    """What to read, and how long it is (0: not said). Only a URL uses the network."""
    if "://" not in source:
        path = Path(source).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"--from {source} is not a file")
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    from urllib.request import urlopen

    if not source.startswith(("http://", "https://")):
        raise ValueError(f"--from {source}: a file, or a URL that begins with https:// or http://")
    try:
        with urlopen(source, timeout=SECONDS) as answer:  # noqa: S310 - http(s) only, checked above
            yield answer, int(answer.headers.get("Content-Length") or 0)
    except OSError as error:
        raise ValueError(
            f"{source} cannot be fetched ({error}). Get the file some other way, then: ddpm weights NAME --from FILE"
        ) from error


def _copy(content: IO[bytes], file: IO[bytes], advance: Callable[[int], None]) -> str:
    """Copy in blocks; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while block := content.read(BLOCK):
        file.write(block)
        digest.update(block)
        advance(len(block))
    return digest.hexdigest()
