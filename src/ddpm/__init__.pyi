from ddpm.api import Model as Model
from ddpm.api import load as load
from ddpm.api import score as score
from ddpm.api import versions as versions

__all__ = ["Model", "load", "score", "versions"]
