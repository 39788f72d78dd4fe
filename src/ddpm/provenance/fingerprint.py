"""Source files that affect a result, derived from the imports of the module that computes it.

dvc.yaml lists the same files as dependencies of each stage, as a test enforces; resumable checkpoints, cached scores
and cached comparisons are named after the same files.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from ddpm.common import files
from ddpm.provenance.imports import PACKAGE, reached

PROJECT = ("src", "dvc.yaml")
"""Scope of a model's code hash: the whole project, so that the record identifies one state of it."""
PIPELINE = ("src", "flows")
"""Code whose change causes a scheduled run."""
INFRASTRUCTURE = (
    "__init__.py", "common/addresses.py", "common/environment.py", "common/faults.py", "common/files.py",
    "common/locks.py", "common/part_files.py", "common/progress.py", "common/redact.py", "common/terminal.py",
    "common/units.py", "common/validation.py", "common/yaml_file.py", "config/", "data/errors.py",
    "data/prepared.py", "provenance/", "runtime/allocator.py", "runtime/parent.py", "runtime/process_start.py",
    "runtime/torchrun.py", "runtime/workers.py", "stages/__init__.py", "tracking/", "training/announcement.py",
    "training/stopping.py",
)  # fmt: skip
"""Code without effect on results: reads parameters and files, starts processes, displays and records."""
UNRELATED = {
    "train": ("sampling/", "report/", "imaging/"),  # preview pictures
    "evaluate": ("nets/", "diffusion/denoiser.py"),  # plots the noise schedule without building a network
}
"""Imports of a stage without effect on its result."""


def code_of(name: str) -> list[Path]:
    """List the source files that affect the result of `ddpm.stages.NAME`, itself included."""
    entry = PACKAGE / "stages" / f"{name}.py"
    excluded = INFRASTRUCTURE + UNRELATED.get(name, ())

    def ignored(path: str) -> bool:
        return path.startswith(excluded) or (path.endswith("/__init__.py") and _is_docstring(PACKAGE / path))

    return sorted({entry, *reached([entry], ignored)})


def code_digest(name: str) -> str:
    """Compute the SHA-256 of the source files that affect the result of `ddpm.stages.NAME`."""
    return digest(code_of(name), PACKAGE)


def digest(paths: Iterable[Path], base: Path) -> str:
    """Compute the SHA-256 of files, by path relative to `base` and content."""
    return files.sha256_json({path.relative_to(base).as_posix(): files.sha256_file(path) for path in paths})


def _is_docstring(path: Path) -> bool:
    """Return True if an `__init__.py` has no statement but its docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
