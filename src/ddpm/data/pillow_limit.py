"""Temporary increase of Pillow's process-wide pixel limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


class _Raised:
    """The limits currently requested by all threads, and the one to restore."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.limits: list[int] = []
        self.before = Image.MAX_IMAGE_PIXELS

    def change(self, *, add: int | None = None, remove: int | None = None) -> None:
        with self.lock:
            if not self.limits:
                self.before = Image.MAX_IMAGE_PIXELS
            if add is not None:
                self.limits.append(add)
            if remove is not None:
                self.limits.remove(remove)
            if self.before is not None:  # None: no limit at all
                Image.MAX_IMAGE_PIXELS = max([self.before, *self.limits])


_RAISED = _Raised()


@contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Let Pillow accept images of `pixels` without a warning during the block; a lower limit changes nothing."""
    _RAISED.change(add=pixels)
    try:
        yield
    finally:
        _RAISED.change(remove=pixels)
