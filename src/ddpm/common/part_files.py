"""Temporary files and folders next to the file or folder that they replace, locked while they are written.

A killed writer leaves `.NAME.????????.part` next to NAME, which the next writer of NAME removes. A running writer holds
a lock on its own temporary file, so that concurrent writers never remove each other's.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ddpm.common.locks import acquire

PART = ".part"


@contextlib.contextmanager
def locked(path: Path, make: Callable[[Path], tuple[int, Path]]) -> Iterator[tuple[Path, int]]:
    """Yield a new temporary sibling of `path`, and its file descriptor, locked during the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    while True:
        lock, temporary = make(path)
        try:
            if not acquire(lock, shared=True) or not temporary.exists():  # another process is removing it
                continue
            yield temporary, lock
            return
        finally:
            os.close(lock)


def empty_file(path: Path) -> tuple[int, Path]:
    """Create an empty temporary file for `path`; return its descriptor and name."""
    while True:
        temporary = _part_name(path)
        with contextlib.suppress(FileExistsError):
            return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), temporary


def empty_folder(path: Path) -> tuple[int, Path]:
    """Create an empty temporary folder for `path`; return its descriptor and name."""
    while True:
        temporary = _part_name(path)
        with contextlib.suppress(FileExistsError):
            temporary.mkdir()
            return os.open(temporary, os.O_RDONLY), temporary


def _part_name(path: Path) -> Path:
    """A temporary name next to `path`. Not from `tempfile`, whose files ignore the umask."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def keep_mode(path: Path, temporary: Path) -> None:
    """Give `temporary` the permissions of the file or folder it replaces, unless that is a link."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            temporary.chmod(stat.S_IMODE(mode))


def _sweep(path: Path) -> None:
    """Remove the temporary files of killed writers of `path`, whose locks are free."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(PART)}")
    with os.scandir(path.parent) as entries:
        left = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    for each in left:
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(each, os.O_RDONLY)
            try:
                if acquire(lock):
                    shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
            finally:
                os.close(lock)
