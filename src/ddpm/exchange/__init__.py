"""Models in the format of diffusers: a folder of JSON and safetensors, written and read without that library."""

from ddpm.exchange.export import export
from ddpm.exchange.take import take

__all__ = ["export", "take"]
