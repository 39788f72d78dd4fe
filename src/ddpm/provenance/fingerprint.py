"""Which source files shape a result: derived from the imports of the module that computes it.

The only place that decides it. dvc.yaml lists the same files as dependencies of each stage, and a test holds it to
that; checkpoints for resuming, kept scores and kept comparisons are named after the same files.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from ddpm.common import files
from ddpm.provenance.imports import PACKAGE, reached

PROJECT = ("src", "dvc.yaml")
"""What a model's code hash covers: more than what shapes it, so that the record names one state of the project."""
PIPELINE = ("src", "flows")
"""Whose change gives a scheduled run something to do."""
AROUND = (
    "__init__.py", "common/addresses.py", "common/environment.py", "common/faults.py", "common/files.py",
    "common/locks.py", "common/outside.py", "common/progress.py", "common/redact.py", "common/terminal.py",
    "common/yaml_file.py", "config/", "data/errors.py", "data/prepared.py", "provenance/", "runtime/parent.py",
    "runtime/process_start.py", "runtime/torchrun.py", "stages/__init__.py", "tracking/", "training/stopping.py",
)  # fmt: skip
"""What reads parameters and files, starts processes, and shows or records what happens: it shapes no result."""
BESIDE = {
    "train": ("sampling/", "report/", "imaging/"),  # the preview pictures that are recorded meanwhile
    "evaluate": ("nets/", "diffusion/denoiser.py"),  # draws the noise schedule and builds no network
}
"""What a computation imports for something beside its result."""


def code_of(name: str) -> list[Path]:
    """The source files that shape the result of `ddpm.stages.NAME`, itself included."""
    entry = PACKAGE / "stages" / f"{name}.py"
    ends = AROUND + BESIDE.get(name, ())

    def passed_over(path: str) -> bool:
        return path.startswith(ends) or (path.endswith("/__init__.py") and _is_docstring(PACKAGE / path))

    return sorted({entry, *reached([entry], passed_over)})


def code_digest(name: str) -> str:
    """SHA-256 over the source files that shape the result of `ddpm.stages.NAME`."""
    return digest(code_of(name), PACKAGE)


def digest(paths: Iterable[Path], base: Path) -> str:
    """SHA-256 over files, by their paths relative to `base` and their content."""
    return files.sha256_json({path.relative_to(base).as_posix(): files.sha256_file(path) for path in paths})


def _is_docstring(path: Path) -> bool:
    """Whether an `__init__.py` holds no statement besides its docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
