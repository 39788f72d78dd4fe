"""Real image files, small and many."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.imagefiles import encoded


@pytest.fixture(scope="session")
def good() -> dict[str, bytes]:
    """240 distinct grey 8x8 images in three class folders."""
    random = np.random.default_rng(0)
    return {
        f"{'abc'[index % 3]}/{index:03d}.png": encoded(random.integers(0, 256, (8, 8), dtype=np.uint8))
        for index in range(240)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes files into a folder."""

    def write(files: dict[str, bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "images"

    return write
