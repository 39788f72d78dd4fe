"""Sources of images: a folder, or a zip or tar archive. Links must not lead out of a folder."""

import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ddpm.data import classes, labels
from ddpm.data.archives import ARCHIVES, kind_of, list_tar, list_zip, read_tar, read_zip
from ddpm.data.entries import ENDINGS, Entry, Listing, inner_path, left_out, read_capped, wanted
from ddpm.data.errors import BadImageError, DataError, listing


@dataclass(frozen=True)
class Source:
    """Files found at `location`, sorted by path; only dataset.json (`table`) has been read."""

    location: Path
    kind: str
    entries: tuple[Entry, ...]
    table: labels.Table | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def read(self) -> Iterator[tuple[Entry, bytes | BadImageError]]:
        """Yield each file once with its content or error; archives in their own order, which is fast."""
        if self.kind == "folder":
            yield from ((entry, _read(self.location / (entry.name or entry.path))) for entry in self.entries)
        elif self.kind == "zip":
            yield from read_zip(self.location, self.entries)
        else:
            yield from read_tar(self.location, self.entries)

    def class_names(self, paths: Sequence[str]) -> list[str | None]:
        """Return the class of each of these images; None without one."""
        return list(self._classes(paths).names)

    def notes(self) -> list[str]:
        """List remarks: images left out, and folders that are not classes or doubtful ones."""
        paths = [entry.path for entry in self.entries if PurePosixPath(entry.path).suffix.lower() in ENDINGS]
        hidden = [f"{count:,} in {name}" for name, count in sorted(self.left_out.items()) if name != "hidden"]
        if count := self.left_out.get("hidden"):
            hidden.append(f"{count:,} in hidden files and folders (.*)")
        aside = [f"skipped, as images of the system and not of the set: {', '.join(hidden)}"] if hidden else []
        return [*aside, *self._classes(paths).notes]

    def _classes(self, paths: Sequence[str]) -> classes.Classes:
        return classes.of_folders(paths) if self.table is None else classes.of_table(paths, self.table)


def find(location: Path) -> Source:
    """List the files of a folder (or of the one archive in it) or an archive. Raises DataError."""
    if not location.exists():
        raise DataError(
            f"{location} does not exist. Fetch the data (`dvc pull data.dvc`) or choose others (`ddpm data use`)."
        )
    if location.is_dir():
        found = _list_folder(location)
        archives = [entry for entry in found.entries if entry.path.lower().endswith(ARCHIVES)]
        if not archives:
            return _source(location, "folder", found)
        if len(found.entries) > 1:
            raise DataError(
                f"{location} has an archive and other files:\n"
                f"{listing([entry.path for entry in found.entries], 5)}\n"
                "Give a single archive, or unpack it and give the images."
            )
        location = location / (archives[0].name or archives[0].path)
    if not location.is_file():
        raise DataError(f"{location} is {_kind(location)}. Give a folder, or a zip or tar archive.")
    kind = kind_of(location)
    if kind is not None:
        return _source(location, kind, list_zip(location) if kind == "zip" else list_tar(location))
    raise DataError(f"{location} is neither a folder nor a readable zip or tar archive. Check that it is complete.")


def class_names(paths: Sequence[str]) -> list[str | None]:
    """Return the class of each path, by its folders alone."""
    return list(classes.of_folders(paths).names)


def check_copyable(location: Path) -> None:
    """Raise DataError for a folder that cannot be copied completely: DVC hangs at a pipe, and fails late at others.

    Hidden and system folders are checked too, since DVC copies them.
    """
    walk = os.walk(location, onerror=_raise)
    every = (Path(folder) / name for folder, folders, names in walk for name in [*folders, *names])
    faults = [f"{path.relative_to(location)}: {fault}" for path in every if (fault := _fault(path)) is not None]
    if faults:
        raise DataError(
            f"{location} has files that cannot be copied. Nothing was changed. Remove or repair them:\n"
            + listing(sorted(faults))
        )


def _fault(path: Path) -> str | None:
    """Return the reason why a file or folder cannot be copied; None if it can."""
    if not path.exists():
        return _kind(path)
    if not path.is_file() and not path.is_dir():
        return f"it is {_kind(path)}"
    if path.name == ".dvcignore":
        return "DVC refuses folders with such a file"
    return None if os.access(path, os.R_OK) else "it cannot be read; check its permissions"


def _kind(path: Path) -> str:
    """The kind of a path that is neither a file nor a folder."""
    if path.is_symlink():
        return "a broken or circular link"
    kinds: dict[str, Callable[[int], bool]] = {
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
        "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    mode = path.stat().st_mode
    return next((name for name, test in kinds.items() if test(mode)), "not a regular file")


def _raise(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}); check its permissions.") from error


def _source(location: Path, kind: str, found: Listing) -> Source:
    """Build a source. Raises DataError for no images, or two files with one path."""
    table = None
    if found.labels is not None and isinstance(found.labels[1], bytes):
        table = labels.parse(found.labels[0], found.labels[1])
    entries = sorted(found.entries)
    for first, second in itertools.pairwise(entries):
        if first.path == second.path:
            raise DataError(f"{location} has {first.path} twice (perhaps in two Unicode forms). Remove one of them.")
    if table is not None and found.labels is not None:
        entries = [entry for entry in entries if entry.path != found.labels[0]]
    if not entries:
        raise DataError(f"{location} has no images in it. Known endings: {', '.join(ENDINGS)}.")
    return Source(location, kind, tuple(entries), table, found.left_out)


def _list_folder(root: Path) -> Listing:
    """List all files below a folder. Raises DataError for links that lead out of it."""
    found = Listing()
    inside = root.resolve()

    def failed(error: OSError) -> None:
        if left_out(PurePosixPath(Path(error.filename).relative_to(root).as_posix()) / "x") is None:
            _raise(error)

    for folder, folders, names in os.walk(root, onerror=failed):
        for name in [*folders, *names]:
            full = Path(folder) / name
            real = full.relative_to(root).as_posix()
            path = inner_path(root, real)
            is_meant = left_out(path / "x") is None if name in folders else wanted(path)
            if is_meant and full.is_symlink():
                _check_link(full, inside)
            if name in names:
                size = full.lstat().st_size
                if found.add(path, size, real):
                    found.labels = (str(path), _read(full))
        folders.sort()
    return found


def _check_link(link: Path, inside: Path) -> None:
    """Raise DataError unless a link leads to a file inside the folder."""
    target = Path(os.path.realpath(link))  # Path.resolve raises for a circular link
    if not target.is_relative_to(inside):
        raise DataError(
            f"{link} is a link that leads out of the folder, to {target}. Replace it by the file itself. "
            "(If DVC made the link: `dvc config cache.type reflink,hardlink,copy`, then `dvc checkout --relink`.)"
        )
    if target.is_dir():
        raise DataError(f"{link} is a link to a folder, so its images would count twice. Remove the link.")


def _read(path: Path) -> bytes | BadImageError:
    """Read one file of a folder; return a BadImageError if that fails."""
    try:
        if not path.is_file():
            return BadImageError("it is not a regular file; remove it")
        with path.open("rb") as file:
            return read_capped(file)
    except OSError as error:
        return BadImageError(f"it cannot be read ({error.strerror}); check its permissions and the disk")
