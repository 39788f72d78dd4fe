"""The pyfunc model; MLflow runs this file by path, together with the packed modules.

Input: a table with one row per image and a column `class` (class by name or index, "" for any) or `label` (integer: the
class of that name, or of that index if no class is named by a number; -1 for any); without them, any class.
A super-resolution model also needs a column `image`: the small image of each row, as nested lists or an array
(height, width, channels) of integers 0 to 255; label -1 then means that its class is unknown.
Parameters: `count` (0: one image per row; otherwise the rows are used in turn), `seed` (image i is drawn from
seed + i), `steps`, `sampler`, `class` or `label` (for all images), `guidance`, `format` (a key of `requests.FORMATS`).
Output: uint8 images (count, H, W, C), or float32 series (count, L, C) in units of the data, or PNGs in base64. An
invalid request, or one beyond `requests.Limits`, gets a client error with the reason. Requests are served one at a
time, as each uses all cores.
"""

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.models  # not local, as elsewhere: only MLflow runs this file
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_EXHAUSTED
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from ddpm.common.class_names import class_index
from ddpm.common.units import duration
from ddpm.diffusion.pixels import NotFiniteError
from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.sampling.options import REQUESTED
from ddpm.serving import requests

BATCH = 250
ANY = generate.NO_LABEL
LIGHTEST = 255


class DiffusionModel(PythonModel):
    """Sampler of the packed checkpoint."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load weights, options and limits."""
        self.model = checkpoint.load(Path(context.artifacts["checkpoint"]))
        self.options = dict(context.model_config or {})
        self.limits = requests.Limits.of(os.environ)
        self.lock = threading.Lock()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[Any] | list[str]:
        """Sample images, as the module describes. Raises MlflowException (client error) for an invalid request."""
        begun, asked = time.monotonic(), params or {}
        try:
            form = requests.form(asked.get("format", "array"))
            if "class" in model_input.columns:  # MLflow makes one row of a dictionary that holds a list of texts
                model_input = model_input.explode("class", ignore_index=True)
            count = self._count(len(model_input), asked)
            labels = self._labels(_column(model_input, count, asked, self.model.classes))
            low_res = _small(model_input, count)
            chosen = {key: asked[key] for key in REQUESTED if key in asked}
            sampling = generate.Sampling.suited(**self.options, **chosen)
            generate.check(self.model.config, sampling, count, labels, None if low_res is None else low_res.shape)
            size = count * math.prod(self.model.config.image.domain.stored)
            self.limits.check(count, sampling, size if form is requests.arrays else 0)
            with self._exclusive(begun), self.limits.enforced(self.model.denoiser.net, begun):
                images = generate.generate(
                    self.model, count, sampling, seed=asked.get("seed", 0), labels=labels, low_res=low_res, batch=BATCH
                )
            in_turn = len(self.model.classes) if labels is None and low_res is None else 0
            return form(images, in_turn)  # type: ignore[no-any-return]  # one of the two, as the form is
        except NotFiniteError as error:  # no fault of the request
            raise MlflowException(str(error), error_code=INTERNAL_ERROR) from error
        except (ValueError, ArithmeticError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    @contextmanager
    def _exclusive(self, begun: float) -> Iterator[None]:
        """Serve one request at a time. Raises MlflowException (429) if the time limit ends before the lock is free."""
        left = max(0.0, self.limits.seconds - (time.monotonic() - begun)) if self.limits.seconds else -1
        if not self.lock.acquire(timeout=left):
            raise MlflowException(
                f"busy with other requests for {duration(self.limits.seconds)}; try again later",
                error_code=RESOURCE_EXHAUSTED,
            )
        try:
            yield
        finally:
            self.lock.release()

    def _count(self, rows: int, asked: Mapping[str, Any]) -> int:
        """Return the number of images requested. Raises ValueError."""
        count = int(asked.get("count", 0))
        if count < 0:
            raise ValueError(f"count = {count}: must be 1 or more, or 0 for one image per row")
        count = count or rows or 1
        self.limits.check_count(count)
        return count

    def _labels(self, labels: list[int]) -> list[int] | None:
        """Return the generator's labels: the classes in turn for ANY, except with given images (super-resolution)."""
        if all(label == ANY for label in labels):
            return None
        if self.model.config.diffusion.scale:
            return labels
        defaults = generate.default_labels(len(labels), len(self.model.classes)) or labels
        return [defaults[i] if label == ANY else label for i, label in enumerate(labels)]


def _column(table: pd.DataFrame, count: int, asked: Mapping[str, Any], classes: Sequence[str]) -> list[int]:
    """Return the class index, or ANY, of every image; MLflow has checked the types against the signature."""
    given = _class(asked.get("label", ANY), asked.get("class", ""), classes)
    names = table["class"] if "class" in table.columns else [""] * len(table)
    numbers = table["label"] if "label" in table.columns else [ANY] * len(table)
    rows = [_class(*each, classes) for each in zip(numbers, names, strict=True)] if given == ANY else [given]
    return [rows[i % len(rows)] if rows else ANY for i in range(count)]


def _class(label: int, name: str | None, classes: Sequence[str]) -> int:
    """Return the index of the class requested by label, name or both; ANY for neither. Raises ValueError."""
    asked = [str(name)] if isinstance(name, str) and name else []
    asked += [str(int(label))] if label != ANY else []
    found = [class_index(each, classes) for each in asked]
    if len(set(found)) > 1:
        raise ValueError(f"class {asked[0]} and label {asked[1]} are different classes: give one of them")
    return found[0] if found else ANY


def _small(table: pd.DataFrame, count: int) -> NDArray[np.uint8] | None:
    """Return the small image of every image requested, (count, h, w, c); None without a column `image`."""
    if "image" not in table.columns or table.empty:
        return None
    try:
        images = np.array(table["image"].tolist())
    except ValueError as error:
        raise ValueError("the images of a request must be of one size") from error
    if images.min(initial=0) < 0 or images.max(initial=0) > LIGHTEST:
        raise ValueError(f"pixels from {images.min()} to {images.max()}: must be integers from 0 to 255")
    return images[np.arange(count) % len(images)].astype(np.uint8)


mlflow.models.set_model(DiffusionModel())
