"""The held-out split: a property of the pixels of each image, or group of near duplicates.

So the split does not change when images are added, removed, renamed or read in another order, unless an image joins or
leaves a group of near duplicates. A group goes by the least digest of its images (`duplicates.groups`), so all of it is
on one side. What a share of 0.1 holds out, a share of 0.2 holds out too.
"""

import hashlib

SALT = b"ddpm held-out split, version 1\0"


def position(pixels_sha256: str) -> float:
    """Where an image lies in [0, 1), uniform over images: SHA-256 of a fixed salt and of its pixels' SHA-256."""
    digest = hashlib.sha256(SALT + bytes.fromhex(pixels_sha256)).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


def is_held_out(pixels_sha256: str, share: float) -> bool:
    """Whether an image, or a group by its key, belongs to the held-out split, for a `share` in (0, 1)."""
    return position(pixels_sha256) < share
