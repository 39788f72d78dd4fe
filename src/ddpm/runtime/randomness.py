"""Randomness is a function of a key such as (seed, "noise", step): no generator's state is ever stored or carried."""

import hashlib

import torch


def key_seed(*key: int | str) -> int:
    """A 63-bit seed from the parts of a key; different keys give unrelated seeds."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key; draws on the CPU are the same on every machine and device."""
    return torch.Generator().manual_seed(key_seed(*key))
