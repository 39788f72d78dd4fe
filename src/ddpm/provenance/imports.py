"""The import graph of this package, read from its source without running it."""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def reached(entries: Iterable[Path], ignored: Callable[[str], bool] = lambda name: False) -> list[Path]:
    """List the files of the package that `entries` import, directly or indirectly, anywhere in a file.

    ignored: predicate of a path relative to the package (`nets/unet.py`); ignored files are not followed either. The
    entries themselves are not included, unless something imports them.
    """
    found: set[Path] = set()
    waiting = list(entries)
    while waiting:
        for name in imports(waiting.pop()):
            for path in files_of(name):
                if path not in found and not ignored(path.relative_to(PACKAGE).as_posix()):
                    found.add(path)
                    waiting.append(path)
    return sorted(found)


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the full names of all modules that a file may import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def files_of(name: str) -> list[Path]:
    """List the file of a module of this package and its parents' `__init__.py`; empty for other modules."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return []
    inside = PACKAGE.joinpath(*parts[1:])
    candidates = [PACKAGE.joinpath(*parts[1:depth]) / "__init__.py" for depth in range(1, len(parts) + 1)]
    return [path for path in [*candidates, inside.with_suffix(".py")] if path.is_file()]
