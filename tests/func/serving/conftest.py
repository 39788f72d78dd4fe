"""A packed model, loaded, and the images that the project itself draws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest

from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.serving import pack

CONDITIONS = {"sampler": "ddim", "steps": 4, "spacing": "uniform", "eta": 0.5, "guidance": 1.0, "clamp": True}


MEASURED: dict[str, Any] = {"sampler": "ddim", "steps": 4, "spacing": "uniform", "eta": 0.5}


@pytest.fixture(scope="module")
def packed(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packed") / "model"
    pack.pack(tiny_checkpoint, target, CONDITIONS)
    return target


@pytest.fixture(scope="module")
def model(packed: Path) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(str(packed))


@pytest.fixture(scope="module")
def expected(tiny_checkpoint: Path) -> Callable[..., np.ndarray]:
    """Return a function that samples with the project itself, with the settings of the model's evaluation."""
    loaded = checkpoint.load(tiny_checkpoint)

    def drawn(count: int, *, guidance: float = 1.0, **options: Any) -> np.ndarray:
        return generate.generate(loaded, count, generate.Sampling(**MEASURED, guidance=guidance), **options)

    return drawn
