"""Export to and import from the diffusers format (JSON and safetensors), without that library."""

from ddpm.exchange.export import export
from ddpm.exchange.take import take

__all__ = ["export", "take"]
