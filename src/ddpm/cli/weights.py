"""`ddpm weights`: published weights for scoring, checked and tracked with DVC."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from ddpm.common import terminal

app = typer.Typer(no_args_is_help=True)

BLOCK = 2**20
TIMEOUT = 60  # seconds


@app.callback()
def _group() -> None:
    """Download published weights and track them with DVC."""


Source = Annotated[
    str | None, typer.Option("--from", help="A file or URL; by default the published URL.", show_default=False)
]
Folder = Annotated[Path, typer.Option("--to", help="Target folder.")]


@app.command("inception")
def inception_(source: Source = None, folder: Folder = Path("weights")) -> None:
    """Download the Inception-v3 weights of 2015-12-05.

    Their SHA-256 is checked, and in a DVC repository they are added with `dvc add`.
    """
    from ddpm.metrics import inception

    _get("inception", source or inception.URL, folder / inception.FILE, inception.SHA256)


@app.command("dinov2")
def dinov2_(source: Source = None, folder: Folder = Path("weights")) -> None:
    """Download the DINOv2 ViT-L/14 weights (1.2 GB).

    Their SHA-256 is checked, and in a DVC repository they are added with `dvc add`.
    """
    from ddpm.metrics import dinov2

    _get("dinov2", source or dinov2.URL, folder / dinov2.FILE, dinov2.SHA256)


def _get(name: str, source: str, target: Path, sha256: str) -> None:
    """Download weights, track them with DVC, and print how to use them."""
    download(source, target, sha256)
    terminal.echo(f"weights: {target} is the published file (SHA-256 {sha256})")
    if track_with_dvc(target):
        terminal.echo(
            f"DVC tracks it: commit {target}.dvc and {target.parent / '.gitignore'}, and `dvc push` if there is a "
            "remote"
        )
    terminal.echo(
        f"use it: features.extractor = {name}, features.weights = {target}; or `ddpm score --extractor {name}`"
    )


def download(source: str, target: Path, sha256: str) -> None:
    """Copy a file or URL to `target` atomically, checking its hash; an existing correct file is kept.

    Raises FileNotFoundError for a missing file, ValueError for another hash; then nothing is written.
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
            raise ValueError(f"{source} has SHA-256 {found}, but the published file has {sha256}; it was discarded")


def track_with_dvc(target: Path) -> bool:
    """Run `dvc add` if this folder is a DVC repository; return True if so."""
    from ddpm.data import dvc

    if not Path(".dvc").is_dir():
        return False
    dvc.run("add", "--quiet", str(target))
    return True


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file or URL; yield it and its length in bytes (0 if unknown)."""
    if "://" not in source:
        path = Path(source).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"--from {source} is not a file")
        with path.open("rb") as file:
            yield file, path.stat().st_size
        return
    from urllib.request import urlopen

    if not source.startswith(("http://", "https://")):
        raise ValueError(f"--from {source}: must be a file, or a URL that begins with https:// or http://")
    try:
        with urlopen(source, timeout=TIMEOUT) as answer:  # noqa: S310 - http(s) only, checked above
            yield answer, int(answer.headers.get("Content-Length") or 0)
    except OSError as error:
        raise ValueError(
            f"{source} cannot be downloaded ({error}). Obtain the file by other means, then: "
            "ddpm weights NAME --from FILE"
        ) from error


def _copy(content: IO[bytes], file: IO[bytes], advance: Callable[[int], None]) -> str:
    """Copy in blocks; return the SHA-256 of the content."""
    digest = hashlib.sha256()
    while block := content.read(BLOCK):
        file.write(block)
        digest.update(block)
        advance(len(block))
    return digest.hexdigest()
