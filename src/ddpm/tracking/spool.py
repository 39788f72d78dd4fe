"""The spool: the events of a training as JSON lines on disk. Writing needs no MLflow and takes a millisecond.

`.state/tracking/<digest>/events.jsonl` is append-only, and each line carries its own time. A trainer that resumes from
an earlier checkpoint writes some events again; the replay to MLflow (`ddpm.tracking.sync`) sends each of them once.
"""

import contextlib
import io
import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files, part_files
from ddpm.common.locks import locked

SPOOLS = Path(".state/tracking")
THUMBNAIL = 256
Event = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Progress of a training. images: its last image count. status: FINISHED, FAILED, KILLED, or None."""

    started: bool = False
    status: str | None = None
    images: int = 0


class Spool:
    """The events of one training. Writing needs `with spool.writing():`, one process at a time; reading does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = folder.name
        self.events = folder / "events.jsonl"
        self.pictures = folder / "pictures"

    @contextlib.contextmanager
    def writing(self, patience: float = 0.0) -> Iterator[None]:
        """Be the writer during the block. Raises LockBusyError when a training is writing now."""
        with locked(self.folder / "writer.lock", "a training with these parameters is running now", patience=patience):
            self._cut_torn_tail()
            for half_written in self.pictures.glob(f".*{part_files.PART}"):
                half_written.unlink()
            yield

    def progress(self) -> Progress:
        """Fold the events. A start after a finish is a training that was resumed."""
        started, status, images = False, None, 0
        for event, _ in self.read(0):
            match event["event"]:
                case "start":
                    started, status = True, None
                case "metrics":
                    images = max(images, event["images"])
                case "finish":
                    status = event["status"]
        return Progress(started, status, images)

    def start(self, params: Mapping[str, str], tags: Mapping[str, str], patch: bytes = b"") -> None:
        """Record that the training begins or resumes. patch: the difference of its code from the commit."""
        event: Event = {"event": "start", "params": dict(params), "tags": dict(tags)}
        if patch:
            event["patch"] = f"{files.sha256_bytes(patch)}.patch"
            files.write_bytes(self.folder / event["patch"], patch)
        self._append(event)

    def metrics(self, images: int, values: Mapping[str, float]) -> None:
        """Record values after `images` images seen. Raises ValueError for a value that is not finite."""
        for key, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"{key} = {value} after {images} images is not a finite number and is not recorded")
        self._append({"event": "metrics", "images": images, "values": {key: float(v) for key, v in values.items()}})

    def picture(self, name: str, picture: Path | NDArray[np.uint8], images: int) -> None:
        """Record a picture (a file, or uint8 (H, W) or (H, W, C)) after `images` images seen.

        The form of its file name, and a small copy, let MLflow's pages show all pictures of a name as one slider.
        """
        moment = _now()
        unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.digest}/{name}/{images}")
        stem = f"{name.replace('/', '~')}+step+{images}+timestamp+{moment}+{unique}"
        full, small = _encoded(picture)
        written = {f"{stem}.png": full, f"{stem}+compressed.webp": small}
        for file, content in written.items():
            files.write_bytes(self.pictures / file, content)
        self._append({"event": "picture", "name": name, "images": images, "files": list(written), "time": moment})

    def finish(self, status: str) -> None:
        """Record how the training ended: FINISHED, FAILED or KILLED."""
        self._append({"event": "finish", "status": status})

    def read(self, offset: int) -> list[tuple[Event, int]]:
        """Whole events from a byte offset on, each with the offset of its end. An unfinished last line is left out.

        Raises ValueError for a damaged line.
        """
        if not self.events.exists():
            return []
        with self.events.open("rb") as file:
            file.seek(offset)
            content = file.read()
        found: list[tuple[Event, int]] = []
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            try:
                found.append((json.loads(line), offset))
            except ValueError as error:
                raise ValueError(
                    f"{self.events} is damaged before byte {offset} ({error}). Delete {self.folder}."
                ) from error
        return found

    def _append(self, event: Event) -> None:
        """Append one line, durably or not at all. Raises DiskFullError."""
        event = {"time": _now(), **event}
        line = json.dumps(event, allow_nan=False, ensure_ascii=False) + "\n"
        with files.room_for(self.events), self.events.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(line.encode())
                while rest:  # a disk that is almost full takes a part
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise

    def _cut_torn_tail(self) -> None:
        """Remove an unfinished line that a crash left."""
        if not self.events.exists():
            return
        content = self.events.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.events, whole)


def _now() -> int:
    """Milliseconds, as MLflow counts."""
    return time.time_ns() // 1_000_000


def _encoded(picture: Path | NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """PNG bytes in full size, and a small WebP copy. Raises ValueError for an array that is not an image."""
    from PIL import Image

    from ddpm.imaging.pixels import to_pil

    image: Image.Image
    if isinstance(picture, Path):
        image = Image.open(picture)
    else:
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] not in {1, 3}):
            raise ValueError(f"a picture is uint8 (H, W) or (H, W, 1 or 3); this is {array.dtype} {array.shape}")
        image = to_pil(array)
    full, small = io.BytesIO(), io.BytesIO()
    image.save(full, "PNG")
    copy = image.convert("RGB")
    copy.thumbnail((THUMBNAIL, THUMBNAIL))
    copy.save(small, "WEBP")
    return full.getvalue(), small.getvalue()
