"""Rebuild of a recorded model from its record, the repository and the data, and comparison with the original."""

from ddpm.reproduce.rebuild import Result, reproduce

__all__ = ["Result", "reproduce"]
