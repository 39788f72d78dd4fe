"""The spool: events of a training as JSON lines on disk. Without MLflow, so that writing takes a millisecond.

`.state/tracking/<digest>/events.jsonl` only grows. Each line carries its own time, so that shipping it twice gives the
same point in MLflow. A trainer that goes on from an earlier checkpoint says again what was said before it was killed;
the image counter tells, and what is there already is not written again.
"""

import contextlib
import io
import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.common.locks import locked

SPOOLS = Path(".state/tracking")
THUMBNAIL = 256
Event = dict[str, Any]


@dataclass
class Heard:
    """Index of a spool: the last image count of every metric, the pictures, the last status."""

    metrics: dict[str, int] = field(default_factory=dict)
    pictures: set[tuple[str, int]] = field(default_factory=set)
    started: bool = False
    status: str | None = None

    def add(self, event: Event) -> None:
        """Take one event in."""
        match event["event"]:
            case "start":
                self.started, self.status = True, None
            case "metrics":
                self.metrics.update(dict.fromkeys(event["values"], event["images"]))
            case "picture":
                self.pictures.add((event["name"], event["images"]))
            case "finish":
                self.status = event["status"]


class Spool:
    """The events of one training. Reading is free; writing needs `with spool.writing():`, one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digest = folder.name
        self.events = folder / "events.jsonl"
        self.pictures = folder / "pictures"
        self.heard = Heard()

    @contextlib.contextmanager
    def writing(self, patience: float = 0.0) -> Iterator[None]:
        """Be the writer during the block. Raises LockBusyError when a training is writing now."""
        with locked(self.folder / "writer.lock", "a training with these parameters is running now", patience=patience):
            self._cut_torn_tail()
            for half_written in self.pictures.glob(f".*{files.PART}"):
                half_written.unlink()
            self.heard = Heard()
            for event, _ in self.read(0):
                self.heard.add(event)
            yield

    def start(self, params: Mapping[str, str], tags: Mapping[str, str], patch: bytes = b"") -> None:
        """The training begins, or goes on after a stop. patch: what its code differs in from the commit."""
        event: Event = {"event": "start", "params": dict(params), "tags": dict(tags)}
        if patch:
            event["patch"] = f"{files.sha256_bytes(patch)}.patch"
            files.write_bytes(self.folder / event["patch"], patch)
        self._append(event)

    def metrics(self, images: int, values: Mapping[str, float]) -> None:
        """Values at `images` images seen. Raises ValueError for one that is not finite."""
        new = {key: float(value) for key, value in values.items() if images > self.heard.metrics.get(key, -1)}
        for key, value in new.items():
            if not math.isfinite(value):
                raise ValueError(f"{key} = {value} after {images} images is not a finite number and is not recorded")
        if new:
            self._append({"event": "metrics", "images": images, "values": new})

    def picture(self, name: str, picture: Path | NDArray[np.uint8], images: int) -> None:
        """A picture (file, or uint8 (H, W) or (H, W, C)) after `images` images, under a name MLflow's pages understand.

        They show pictures of this form as one that moves with the steps, and want a small copy beside it.
        """
        if (name, images) in self.heard.pictures:
            return
        moment = _now()
        unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.digest}/{name}/{images}")
        stem = f"{name.replace('/', '~')}+step+{images}+timestamp+{moment}+{unique}"
        full, small = _encoded(picture)
        written = {f"{stem}.png": full, f"{stem}+compressed.webp": small}
        for file, content in written.items():
            files.write_bytes(self.pictures / file, content)
        self._append({"event": "picture", "name": name, "images": images, "files": list(written), "time": moment})

    def finish(self, status: str) -> None:
        """The training ended: FINISHED, FAILED or KILLED."""
        self._append({"event": "finish", "status": status})

    def read(self, offset: int) -> list[tuple[Event, int]]:
        """Whole events from a byte offset on, each with the offset behind it. A line still being written is left out.

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
        """One line, whole and on disk when this returns, or not there at all. Raises DiskFullError."""
        event = {"time": _now(), **event}
        line = json.dumps(event, allow_nan=False, ensure_ascii=False) + "\n"
        with files.room_for(self.events), self.events.open("ab", buffering=0) as file:
            behind = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(line.encode())
                while rest:  # a disk that is almost full takes a part
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(behind)
                raise
        self.heard.add(event)

    def _cut_torn_tail(self) -> None:
        """Remove half a line that a crash left, so that the next one starts on its own."""
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
