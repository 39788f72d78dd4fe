"""Reference statistics as a file: mean and covariance of real features, to score without the real images.

Published files of pytorch-fid, clean-fid and ADM (.npz with `mu` and `sigma`) are also read. Nothing is unpickled.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.frechet import Moments

SUFFIXES = (".npz", ".safetensors")


@dataclass(frozen=True)
class Origin:
    """Origin of statistics; "" if a published file does not record it.

    split: the images used; extractor, extractor_sha256, resize: as in the conditions of a score.
    """

    split: str = ""
    extractor: str = ""
    extractor_sha256: str = ""
    resize: str = ""


@dataclass(frozen=True)
class ReferenceFile:
    """Moments of features (with count 0 if it is not recorded), their origin, and the file's SHA-256."""

    path: Path
    moments: Moments
    origin: Origin
    sha256: str

    def require(self, extractor: Extractor) -> None:
        """Raise ValueError for an extractor or a resizing other than the file's."""
        origin, dimension = self.origin, self.moments.mean.size
        if origin.extractor_sha256 and origin.extractor_sha256 != extractor.sha256:
            raise ValueError(
                f"{self.path} has statistics of {origin.extractor} ({origin.extractor_sha256[:12]}), not of "
                f"{extractor.name} ({extractor.sha256[:12]}); choose --extractor {origin.extractor}"
            )
        if dimension != extractor.dimension:
            raise ValueError(
                f"{self.path} has statistics of {dimension:,} features, but {extractor.name} has "
                f"{extractor.dimension:,}; choose the extractor with --extractor (2,048: inception, 1,024: dinov2)"
            )
        if origin.resize and origin.resize != extractor.resize:
            raise ValueError(
                f"{self.path} has statistics of images resized by {origin.resize!r}, not by "
                f"{extractor.resize!r}; choose --resize {origin.resize}"
            )


def is_reference(path: Path) -> bool:
    """Return True if the path has the suffix of a reference file."""
    return path.suffix in SUFFIXES


def require_images(path: Path) -> None:
    """Raise ValueError for a reference file where real images are needed."""
    if is_reference(path):
        raise ValueError(f"--heldout and --save-reference need the real images, but --real {path} has only statistics")


def write(path: Path, moments: Moments, extractor: Extractor, split: str) -> None:
    """Write `mu` and `sigma` in float64, `n`, and the origin. Raises ValueError for a suffix not in SUFFIXES."""
    require_suffix(path)
    origin = vars(Origin(split, extractor.name, extractor.sha256, extractor.resize))
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: np.array(text) for name, text in origin.items()}
        arrays |= {"mu": moments.mean, "sigma": moments.covariance, "n": np.array(moments.count)}
        np.savez(buffer, allow_pickle=False, **arrays)
        files.write_bytes(path, buffer.getvalue())
        return
    import torch

    tensors = {"mu": torch.from_numpy(moments.mean), "sigma": torch.from_numpy(moments.covariance)}
    files.write_tensors(path, tensors, origin | {"n": str(moments.count)})


def require_suffix(path: Path) -> None:
    """Raise ValueError for a suffix not in SUFFIXES."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} must end in {' or '.join(SUFFIXES)}")


def read(path: Path) -> ReferenceFile:
    """Read a reference file or a published .npz. Raises FileNotFoundError, or ValueError that names the file."""
    require_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Write it with `ddpm score --save-reference {path}`.")
    content = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    mean, covariance = (_numbers(path, content, name) for name in ("mu", "sigma"))
    if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
        raise ValueError(f"{path}: mu {mean.shape} and sigma {covariance.shape} must be (D,) and (D, D)")
    origin = Origin(**{each.name: str(content.get(each.name, "")) for each in fields(Origin)})
    return ReferenceFile(path, Moments(int(content.get("n", 0)), mean, covariance), origin, files.sha256_file(path))


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not an archive of plain arrays ({error})") from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    tensors = {name: tensor.numpy() for name, tensor in files.read_tensors(path).items()}
    with safe_open(path, framework="np") as opened:
        return {**(opened.metadata() or {}), **tensors}


def _numbers(path: Path, content: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    if name not in content:
        raise ValueError(f"{path} has no {name}; a reference file has mu (D,) and sigma (D, D)")
    found = np.asarray(content[name])
    if not np.issubdtype(found.dtype, np.floating) or not np.isfinite(found).all():
        raise ValueError(f"{path}: {name} must hold finite floating-point numbers")
    return found.astype(np.float64)
