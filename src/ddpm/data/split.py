"""The held-out split, a function of the pixels of each image or group of near duplicates.

So the split does not change when images are added, removed, renamed or reordered, unless an image joins or leaves a
group of near duplicates. A group is placed by the smallest digest of its images (`duplicates.groups`), so all its
images are on the same side. A larger share holds out a superset.
"""

import hashlib

SALT = b"ddpm held-out split, version 1\0"


def position(pixels_sha256: str) -> float:
    """Map an image uniformly to [0, 1) by the SHA-256 of a fixed salt and its pixels' SHA-256."""
    digest = hashlib.sha256(SALT + bytes.fromhex(pixels_sha256)).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


def is_held_out(pixels_sha256: str, share: float) -> bool:
    """Return True if an image, or a group by its key, belongs to the held-out split, for a `share` in (0, 1)."""
    return position(pixels_sha256) < share
