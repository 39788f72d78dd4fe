"""A review of plain images."""

from pathlib import Path

import numpy as np

from ddpm.review import session

REAL = np.full((60, 8, 8, 1), 200, np.uint8)
DRAWN = np.random.default_rng(0).integers(0, 99, (80, 8, 8, 1)).astype(np.uint8)


def started(folder: Path, count: int = 10, seed: int = 3) -> session.Session:
    return session.start(REAL, DRAWN, count=count, seed=seed, conditions={"weights_sha256": "a"}, folder=folder)
