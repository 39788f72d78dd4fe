"""The registered model as MLflow loads it: MLflow runs this file by path, beside the packed modules.

Input: a table with one row per image and a column `label`: a class index, or -1 for any; without the column, any.
Parameters: `count` (0: one image per row; more: the rows are taken in turn), `seed` (image i is drawn from seed + i),
`steps`, `sampler`, `label` (0 or above: for all images), `guidance`.
Output: uint8 images (count, H, W, C). A request that cannot be met is answered in words, as a client's error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from ddpm import checkpoint, generate

MOST_IMAGES = 10_000  # of one request
BATCH = 250
FROM_REQUEST = ("steps", "sampler", "guidance")


class DiffusionModel(PythonModel):
    """Draws images from the packed checkpoint."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights once."""
        self.model = checkpoint.load(Path(context.artifacts["checkpoint"]))
        self.options = dict(context.model_config or {})

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.uint8]:
        """Images as the module says; MlflowException (a client's error) for what the model cannot do."""
        asked = params or {}
        try:
            labels = self._labels(_rows(model_input), asked)
            chosen = {key: asked[key] for key in FROM_REQUEST if key in asked}
            sampling = generate.Sampling.suited(**self.options, **chosen)
            return generate.generate(
                self.model, len(labels), sampling, seed=asked.get("seed", 0), labels=self._known(labels), batch=BATCH
            )
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _labels(self, rows: list[int], asked: Mapping[str, Any]) -> list[int]:
        """A label for every image; -1 where any will do."""
        count, label = int(asked.get("count", 0)), int(asked.get("label", -1))
        if count < 0:
            raise ValueError(f"count = {count}: give 1 or more, or 0 for one image per row")
        count = count or len(rows) or 1
        if count > MOST_IMAGES:
            raise ValueError(f"{count:,} images in one request; at most {MOST_IMAGES:,} are drawn at a time")
        if label != -1:
            rows = [label]
        return [rows[i % len(rows)] if rows else -1 for i in range(count)]

    def _known(self, labels: list[int]) -> list[int] | None:
        """Labels for the generator; where any will do, the classes in turn."""
        if all(label == -1 for label in labels):
            return None
        turn = generate.default_labels(len(labels), len(self.model.classes)) or labels
        return [turn[i] if label == -1 else label for i, label in enumerate(labels)]


def _rows(table: pd.DataFrame) -> list[int]:
    """The column `label`; MLflow has checked by the signature that it holds whole numbers."""
    if "label" not in table.columns:
        return [-1] * len(table)
    return [int(label) for label in table["label"]]


mlflow.models.set_model(DiffusionModel())
