"""Load a registered model in an isolated Python, sample its input example, and print the findings as a line of JSON.

Run by path. Only the code packed with the model may be imported; this is enforced, then checked.
"""

import argparse
import importlib.abc
import json
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


class OnlyFromModel(importlib.abc.MetaPathFinder):
    """Finder that loads the package `ddpm` from the model's folder only, even if the project is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find `ddpm` in the model's folder; leave other packages to other finders."""
        if fullname != "ddpm":
            return None
        packed = [entry for entry in sys.path if Path(entry).resolve().is_relative_to(self.folder)]
        found = PathFinder.find_spec(fullname, packed)
        if found is None:
            raise ModuleNotFoundError("the model does not contain the package ddpm", name=fullname)
        return found


def main(uri: str) -> None:
    """Load, sample, report."""
    import mlflow.artifacts
    import mlflow.pyfunc
    from mlflow.models import Model

    # A copy, because MLflow decodes plain paths, so it cannot load from a folder with, say, `%41` in its path.
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(Path.cwd()))).resolve()
    sys.meta_path.insert(0, OnlyFromModel(folder))
    model = mlflow.pyfunc.load_model(str(folder))
    example: Any = Model.load(str(folder)).load_input_example(str(folder))
    images = model.predict(example, params={"seed": 0})
    source = Path(sys.modules["ddpm"].__file__ or "").resolve()
    if not source.is_relative_to(folder):
        raise SystemExit(f"the code came from {source}, not from the model")
    output = model.metadata.signature.outputs.inputs[0]
    facts = {
        "shape": list(images.shape),
        "expected": [len(example), *output.shape[1:]],
        "dtype": str(images.dtype),
        "expected_dtype": str(output.type),
        "constant": bool(images.min() == images.max()),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uri", metavar="URI")
    parser.add_argument("parent", metavar="PARENT", type=int, help="process id of the parent")
    chosen = parser.parse_args()
    runpy.run_path(str(Path(__file__).parents[1] / "runtime" / "parent.py"))["die_with_parent"](chosen.parent)
    main(chosen.uri)
