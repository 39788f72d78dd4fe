"""Denoising diffusion models of your images: trained, measured, promoted, reproducible.

    model = ddpm.load("models:/ddpm-mnist@champion")
    images = model.sample(16)

The names in `__all__` are those of `ddpm.api`, imported at their first use, so that `import ddpm` takes no time.
"""

import os
from typing import Any

__all__ = ["Model", "load", "score", "versions"]

# Read by OpenMP (GNU's) when torch loads: a waiting thread spins briefly, then sleeps. Spinning on is many times slower
# on a shared machine; sleeping at once loses nearly half of the speed on a quiet one.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def __getattr__(name: str) -> Any:
    """Import a name of the interface; `__init__.pyi` has its type."""
    if name not in __all__:
        raise AttributeError(f"module 'ddpm' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    # By name: a packed model has this file and not the interface, and its modules are found by import statements.
    return getattr(import_module("ddpm.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
