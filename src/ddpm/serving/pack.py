"""Packing of a checkpoint as an MLflow model that loads without this project.

It contains code, weights, config and pinned requirements; the modules needed are derived from import statements.
"""

import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files
from ddpm.provenance.imports import PACKAGE, imports, reached
from ddpm.sampling import options

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL_FILE = Path(__file__).with_name("pyfunc.py")
FIXED = tuple(name for name in options.NAMES if name not in options.REQUESTED)
"""Sampler options stored with a packed model, because requests cannot set them."""
WEIGHTS, CONFIG = PACKED_FILES = ("weights.safetensors", "config.json")
"""Packed files of a checkpoint; `ddpm.model.checkpoint` has the same names, but imports torch."""
PACKED, CHECKPOINT = "MLmodel", Path("artifacts/checkpoint")
"""MLflow's description of a packed model, and its checkpoint."""


def content_sha256(folder: Path) -> str:
    """Compute the identity of a checkpoint: SHA-256 of its EMA weights and config."""
    return files.sha256_json({"weights": files.sha256_file(folder / WEIGHTS), "config": read_config(folder)})


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config of a checkpoint folder. Raises FileNotFoundError."""
    for name in PACKED_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} is not a checkpoint: it has no {name}. Train a model first (`make run`)."
            )
    config: dict[str, Any] = files.read_json(folder / CONFIG)
    return config


def pack(folder: Path, target: Path, conditions: Mapping[str, Any]) -> None:
    """Write the checkpoint `folder` as an MLflow model to the new folder `target`.

    conditions: sampler, steps, ... of its evaluation, which become the defaults of its parameters.
    """
    import mlflow.pyfunc

    config = read_config(folder)
    staging = target.with_name(f"{target.name}-parts")
    for name in PACKED_FILES:
        destination = staging / "checkpoint" / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, destination)
    modules = needed_modules()
    for module in modules:
        destination = staging / "ddpm" / module.relative_to(PACKAGE)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, destination)
    mlflow.pyfunc.save_model(
        path=str(target),
        python_model=str(MODEL_FILE),
        artifacts={"checkpoint": (staging / "checkpoint").as_uri()},
        code_paths=[str(staging / "ddpm")],
        signature=signature(config, conditions),
        input_example=_example(config),
        pip_requirements=requirements([*modules, MODEL_FILE]),
        metadata={"classes": list(config["image"]["classes"])},
        model_config={key: conditions[key] for key in FIXED if key in conditions},
    )
    shutil.rmtree(staging)


def is_packed(folder: Path) -> bool:
    """Return True if the folder is a packed model."""
    return (folder / PACKED).is_file() and (folder / CHECKPOINT / CONFIG).is_file()


def settings(folder: Path) -> dict[str, Any]:
    """Read the sampler options that a packed model samples with by default."""
    from mlflow.models import Model

    model = Model.load(str(folder))
    described = getattr(model.signature, "params", None)
    defaults = {each.name: each.default for each in described.params} if described else {}
    fixed = model.flavors["python_function"].get("config") or {}
    return options.settings({**fixed, **{name: defaults[name] for name in options.REQUESTED if name in defaults}})


def signature(config: Mapping[str, Any], conditions: Mapping[str, Any]) -> "ModelSignature":
    """Build the signature: one input row per example, uint8 images or float32 series as output, parameters."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    side, channels = config["image"]["resolution"], config["image"]["channels"]
    series = config["image"].get("kind") == "series"
    shape = (-1, side, channels) if series else (-1, side, side, channels)
    output = TensorSpec(np.dtype(np.float32 if series else np.uint8), shape)
    kinds = {int: DataType.long, float: DataType.double, str: DataType.string}
    default = {key: conditions.get(key, options.default(key)) for key in options.REQUESTED}
    if conditions.get(options.GUIDE):
        default["guidance"] = options.default("guidance")  # the weaker model for guidance is not packed
    default = {key: type(options.default(key))(value) for key, value in default.items()}  # guidance may be written as 2
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, "label", required=False),
        ColSpec(DataType.string, "class", required=False),
    ]
    if _small_side(config):
        columns += [ColSpec(Array(Array(Array(DataType.long))), "image")]
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema([output]),
        params=ParamSchema(
            [
                ParamSpec("count", DataType.long, 0),
                ParamSpec("seed", DataType.long, 0),
                *(ParamSpec(key, kinds[type(value)], value) for key, value in default.items()),
                ParamSpec("label", DataType.long, -1),
                ParamSpec("class", DataType.string, ""),
                ParamSpec("format", DataType.string, "array"),
            ]
        ),
    )


def _example(config: Mapping[str, Any]) -> Any:
    """Build the input example: two images of any class; for super-resolution, a dark and a light image to enlarge."""
    import pandas as pd

    rows: dict[str, list[Any]] = {"label": [-1, -1]}
    if side := _small_side(config):
        rows["image"] = [[[[grey] * config["image"]["channels"]] * side] * side for grey in (64, 192)]
    return pd.DataFrame(rows), {"seed": 0}


def _small_side(config: Mapping[str, Any]) -> int:
    """Return the side of a super-resolution model's input images; 0 for any other model."""
    condition = config["diffusion"].get("condition", "none")
    return 0 if condition == "none" else config["image"]["resolution"] // int(condition.removeprefix("low-resolution-"))


def code_sha256() -> str:
    """Compute the SHA-256 of a packed model's code and pinned requirements."""
    modules = [*needed_modules(), MODEL_FILE]
    hashes = {str(path.relative_to(PACKAGE)): files.sha256_file(path) for path in modules}
    return files.sha256_json({"code": hashes, "requirements": requirements(modules)})


def needed_modules() -> list[Path]:
    """List the files of the package that the model file imports, directly or indirectly, without itself."""
    return [path for path in reached([MODEL_FILE]) if path != MODEL_FILE]


def requirements(modules: list[Path]) -> list[str]:
    """List `name==version` of the distributions that the modules import, without local suffixes such as +cpu."""
    top_level = {name.split(".")[0] for module in modules for name in imports(module)}
    providers = metadata.packages_distributions()
    outside = sorted(top_level - set(sys.stdlib_module_names) - {"ddpm"})
    names = {name if name in providers[name] else providers[name][0] for name in outside}
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in sorted(names, key=str.lower)]
