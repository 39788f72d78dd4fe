"""Random numbers as a function of a key such as (seed, "noise", step), so that no generator state is ever stored."""

import hashlib

import torch


def key_seed(*key: int | str) -> int:
    """A 63-bit seed from the parts of a key (SHA-256); different keys give unrelated seeds."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key; its numbers do not depend on the machine or the device of the model."""
    return torch.Generator().manual_seed(key_seed(*key))
