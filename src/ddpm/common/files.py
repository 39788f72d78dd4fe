"""Atomic files: each is written under a temporary name, fsynced, then renamed.

So a reader sees the old file or the new one, never a partial one. A replacement has the permissions of the file or
folder that it replaces; a new file has those that the umask leaves. Nothing is ever pickled.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ddpm.common import part_files


class DiskFullError(OSError):
    """The disk is full; the message names the path. Existing files are intact."""


@contextlib.contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raise DiskFullError for a full disk or quota in the block. In nested blocks, the outermost names its path."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, DiskFullError) and error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFullError(
            f"no space is left on the disk of {path}: it was not written, and an existing one is unchanged. "
            "Free some space, then run this again.",
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path`, durably, if the block succeeds. Creates parent folders."""
    with room_for(path), part_files.locked(path, part_files.empty_file) as (temporary, lock):
        try:
            with os.fdopen(os.dup(lock), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part_files.keep_mode(path, temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically and durably. Creates parent folders."""
    with new_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON with an indent of two spaces. Raises ValueError for NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises FileNotFoundError, or ValueError with the name of an invalid file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Delete it and run the stage that writes it.") from error


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write one array in the npy format, without pickle."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_npy_rows(path: Path, count: int, parts: Iterable[NDArray[Any]]) -> None:
    """Write `count` rows, given in parts of equal row shape and dtype, as one array, one part in memory at a time.

    Raises ValueError if the parts have another number of rows.
    """
    written = 0
    with new_file(path) as file:
        for part in parts:
            if not written:
                shape = (count, *part.shape[1:])
                header = {"descr": part.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part).data)
            written += len(part)
        if written != count:
            raise ValueError(f"{path} must get {count:,} rows, but {written:,} were given")


def new_npy(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A new array of zeros as a writable memory map, with its disk space allocated. Raises DiskFullError.

    Without the allocation, a disk that fills up later would kill the process by a signal (SIGBUS).
    """
    array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with room_for(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def read_npy(path: Path, *, memory_map: bool = False) -> NDArray[Any]:
    """Read one array, whole or as a copy-on-write memory map. Raises ValueError with the name of a damaged file."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c" if memory_map else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError("it is an archive, not one array")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and run the stage that writes it.") from error
    return array


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write torch tensors as safetensors, after making them contiguous and moving them to the CPU."""
    from safetensors.torch import save

    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(content, metadata=dict(metadata or {})))


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read safetensors. Raises ValueError with the name of a damaged file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=device)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}).") from error


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def remove(path: Path) -> None:
    """Delete a file or a folder if it exists. A link is deleted, not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` if the block succeeds and is deleted if it fails.

    The old folder is moved away before the new one gets its name, so `path` never holds a partial folder.
    """
    with room_for(path), part_files.locked(path, part_files.empty_folder) as (temporary, _):
        try:
            yield temporary
            part_files.keep_mode(path, temporary)
            old = path.parent / f".{path.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            fsync_folder(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
