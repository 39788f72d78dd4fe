"""Files that run code when they are unpickled."""

import io
import pickle  # to make the trap, and to prove that it springs for a reader who unpickles
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Malicious:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.marker,)


def plain(marker: Path) -> bytes:
    return pickle.dumps(Malicious(marker))


def array(marker: Path) -> bytes:
    """A .npy of objects."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Malicious(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def arrays(marker: Path) -> bytes:
    """A .npz of objects."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Malicious(marker)], dtype=object))
    return buffer.getvalue()


def weights(marker: Path) -> bytes:
    """Return a file as torch.save writes it."""
    buffer = io.BytesIO()
    torch.save({"w": Malicious(marker)}, buffer)
    return buffer.getvalue()
