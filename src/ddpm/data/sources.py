"""Where images come from: a folder, or a zip or tar archive. Links may not lead out of a folder."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ddpm.data.archives import ARCHIVES, kind_of, list_tar, list_zip, read_tar, read_zip
from ddpm.data.entries import ENDINGS, Entry, read_capped, utf8, wanted
from ddpm.data.errors import BadImageError, DataError, listing


@dataclass(frozen=True)
class Source:
    """Files found at `location`, sorted by path; nothing has been read yet."""

    location: Path
    kind: str
    entries: tuple[Entry, ...]

    def read(self) -> Iterator[tuple[Entry, bytes | BadImageError]]:
        """Each file once with its content, or with what is wrong; archives in the order that is fast to read."""
        if self.kind == "folder":
            yield from _read_folder(self)
        elif self.kind == "zip":
            yield from read_zip(self.location, self.entries)
        else:
            yield from read_tar(self.location, self.entries)


def find(location: Path) -> Source:
    """List the files of a folder (or of the one archive in it) or an archive. Raises DataError in words."""
    if not location.exists():
        raise DataError(
            f"{location} does not exist. Get the data (`dvc pull data.dvc`) or choose some (`ddpm data use`)."
        )
    if location.is_dir():
        entries = _list_folder(location)
        archives = [entry for entry in entries if entry.path.lower().endswith(ARCHIVES)]
        if not archives:
            return _named(location, "folder", entries)
        if len(entries) > 1:
            raise DataError(
                f"{location} has an archive beside other files:\n{listing([entry.path for entry in entries], 5)}\n"
                "Give one archive alone, or unpack it and give the images."
            )
        location = location / archives[0].path
    kind = kind_of(location)
    if kind is not None:
        return _named(location, kind, list_zip(location) if kind == "zip" else list_tar(location))
    raise DataError(f"{location} is no folder and no zip or tar archive that can be read. Is it whole?")


def class_names(paths: list[str]) -> list[str | None]:
    """The class of each path: its first folder, below any folder that holds everything; None where there is none."""
    parts = [PurePosixPath(path).parts for path in paths]
    while parts and all(len(path) > 1 for path in parts) and len({path[0] for path in parts}) == 1:
        parts = [path[1:] for path in parts]
    return [path[0] if len(path) > 1 else None for path in parts]


def _named(location: Path, kind: str, entries: list[Entry]) -> Source:
    """A source, if it has any files and each has a name of its own."""
    if not entries:
        raise DataError(f"{location} has no images in it. Known endings: {', '.join(ENDINGS)}.")
    ordered = sorted(entries)
    for first, second in itertools.pairwise(ordered):
        if first.path == second.path:
            raise DataError(f"{location} holds {first.path} twice. Make the archive again with one of them.")
    return Source(location, kind, tuple(ordered))


def _list_folder(root: Path) -> list[Entry]:
    """All wanted files below a folder. Links may lead to places inside it only."""
    entries = []
    inside = root.resolve()
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            full = Path(folder) / name
            path = utf8(root, PurePosixPath(full.relative_to(root).as_posix()))
            if not wanted(path):
                continue
            if full.is_symlink():
                _check_link(full, inside)
            if name in names:
                entries.append(Entry(str(path), full.lstat().st_size if full.is_symlink() else full.stat().st_size))
        folders[:] = sorted(name for name in folders if wanted(PurePosixPath(name)))
    return entries


def _check_link(link: Path, inside: Path) -> None:
    """A link must lead to a file inside the folder. Raises DataError."""
    target = link.resolve()
    if not target.is_relative_to(inside):
        raise DataError(
            f"{link} is a link that leads out of the folder, to {target}. Put the file itself in its place. "
            "(If DVC made the link: `dvc config cache.type reflink,hardlink,copy`, then `dvc checkout --relink`.)"
        )
    if target.is_dir():
        raise DataError(f"{link} is a link to a folder, so its images would count twice. Remove the link.")


def _read_folder(source: Source) -> Iterator[tuple[Entry, bytes | BadImageError]]:
    for entry in source.entries:
        full = source.location / entry.path
        try:
            if not full.is_file():
                yield entry, BadImageError("it is no regular file; remove it")
            else:
                with full.open("rb") as file:
                    yield entry, read_capped(file)
        except OSError as error:
            yield entry, BadImageError(f"it cannot be read ({error.strerror}); check its permissions and the disk")
