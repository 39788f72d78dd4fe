"""Building a recorded model again, from nothing but its record, the repository and its data, and comparing the two."""

from ddpm.reproduce.rebuild import Result, reproduce

__all__ = ["Result", "reproduce"]
