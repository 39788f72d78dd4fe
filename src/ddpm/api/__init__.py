"""The Python interface: load a model, sample, restore and score. `import ddpm` offers it by its short names.

Everything here is also a command of `ddpm`, computed by the same functions: equal options give equal bits.
"""

from ddpm.api.models import Model, load, versions
from ddpm.api.scores import score

__all__ = ["Model", "load", "score", "versions"]
