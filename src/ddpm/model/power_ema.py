"""Power-function EMA of the weights, and its reconstruction for any length after training.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3. The average at step
t weights step s by a power function, `p(s) = (g + 1) s^g / t^(g + 1)`. Its length is the standard deviation of p
relative to t. Training keeps two such averages at some steps (snapshots); the average of any other length is
approximated by the linear combination of them with the closest profile.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ddpm.common import files

LENGTHS = (0.05, 0.25)
"""Lengths tracked during training. Karras et al. 2024 track 0.05 and 0.1; 0.25 determines long averages too."""
DENSITY = 0.8
"""Exponent of the snapshots' positions in the training; below 1: denser towards its end."""
LONGEST = 1 / math.sqrt(12)
"""Length of a uniform average (g = 0), the limit of all lengths."""
LARGEST_ERROR = 0.16
"""Relative error of a profile above which its reconstruction is refused."""
CUTOFF = 1e-12
"""Singular values below this share of the largest count as zero (rounding noise of float64)."""
INDEX = "index.json"


class LengthError(ValueError):
    """An average of this length cannot be computed; the message gives the limit and the remedy."""


@dataclass(frozen=True)
class Snapshots:
    """A folder of snapshots.

    steps: of the training, ascending, the last one its end; lengths: of the averages at each; digest: of the training.
    """

    folder: Path
    steps: tuple[int, ...]
    lengths: tuple[float, ...] = LENGTHS
    digest: str = ""

    def file(self, step: int) -> Path:
        """Return the file of one step: the tensors of all lengths, named by `key`."""
        return self.folder / file_name(step)


def exponent(length: float) -> float:
    """Compute the exponent g of a length in (0, LONGEST).

    It is the positive root of `(g + 1) = length^2 (g + 2)^2 (g + 3)` (Karras et al. 2024, section 3.1). Raises
    LengthError.
    """
    if not 0 < length < LONGEST:
        raise LengthError(f"the length of an average must be above 0 and below {LONGEST:.4f}, not {length:g}")
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def new_share(length: float, step: int) -> float:
    """Compute the current weights' share of the average after `step` steps (from 1): `1 - (1 - 1 / step)^(g + 1)`."""
    return 1.0 if step == 1 else -math.expm1((exponent(length) + 1) * math.log1p(-1 / step))


def snapshot_steps(steps: int, count: int) -> tuple[int, ...]:
    """Return the steps of `count` snapshots, denser towards the end, where the profiles are largest."""
    return tuple(sorted({math.ceil(steps * (i / count) ** DENSITY) for i in range(1, count + 1)}))


def coefficients(snapshots: Snapshots, length: float) -> tuple[NDArray[np.float64], float]:
    """Compute the weight (steps, lengths) of each snapshot in the average of `length`, and the relative profile error.

    Least squares over profiles (Karras et al. 2024, section 3.2) with coefficients of sum 1, so that constant weights
    are reproduced exactly. Raises LengthError.
    """
    times = np.repeat(np.array(snapshots.steps, np.float64) / snapshots.steps[-1], len(snapshots.lengths))
    exponents = np.tile([exponent(each) for each in snapshots.lengths], len(snapshots.steps))
    wanted = exponent(length)
    products = _inner(times[:, None], exponents[:, None], times[None], exponents[None])
    with_wanted = _inner(times, exponents, np.float64(1.0), np.float64(wanted))
    ones = np.ones((len(times), 1))
    system = np.block([[products, ones], [ones.T, np.zeros((1, 1))]])  # with a Lagrange multiplier
    found = np.linalg.lstsq(system, np.append(with_wanted, 1.0), rcond=CUTOFF)[0][:-1]
    norm = float(_inner(np.float64(1.0), np.float64(wanted), np.float64(1.0), np.float64(wanted)))
    missed = max(0.0, norm - 2 * float(found @ with_wanted) + float(found @ products @ found))
    return found.reshape(len(snapshots.steps), -1), math.sqrt(missed / norm)


def reconstruct(snapshots: Snapshots, length: float) -> dict[str, Tensor]:
    """Reconstruct the average of `length` at the end of the training: float32 tensors by name of weight.

    Raises LengthError for a length that the snapshots do not determine, ValueError for a damaged file.
    """
    weights, error = coefficients(snapshots, length)
    if error > LARGEST_ERROR:
        raise LengthError(
            f"an average of length {length:g} cannot be reconstructed from {len(snapshots.steps)} snapshots: the error "
            f"of its profile is {error:.0%} and must be at most {LARGEST_ERROR:.0%}. Choose a length nearer to "
            f"{' or '.join(map(str, snapshots.lengths))}, or train with more train.snapshots."
        )
    total: dict[str, Tensor] = {}
    for step, row in zip(snapshots.steps, weights, strict=True):
        tensors = files.read_tensors(snapshots.file(step))
        for kept, weight in zip(snapshots.lengths, row.tolist(), strict=True):
            for name in _names(tensors, kept):
                part = tensors[key(kept, name)].double() * weight
                total[name] = total[name] + part if name in total else part
    return {name: tensor.float() for name, tensor in total.items()}


def file_name(step: int) -> str:
    """Name the snapshot of a step."""
    return f"step-{step:09d}.safetensors"


def key(length: float, name: str) -> str:
    """Name a weight's average within a snapshot."""
    return f"{length:g}/{name}"


def write_index(folder: Path, steps: Sequence[int], digest: str) -> None:
    """Write the index of a folder of snapshots: steps, lengths, and digest of the training."""
    files.write_json(folder / INDEX, {"steps": list(steps), "lengths": list(LENGTHS), "digest": digest})


def read(folder: Path) -> Snapshots:
    """Open a folder of snapshots. Raises FileNotFoundError if it is not one, ValueError for a damaged index."""
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(
            f"{folder} has no snapshots of averaged weights. Train with train.snapshots above 0 (`dvc repro train`)."
        )
    index = files.read_json(folder / INDEX)
    try:
        steps, lengths = tuple(map(int, index["steps"])), tuple(map(float, index["lengths"]))
        return Snapshots(folder, steps, lengths, str(index["digest"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / INDEX} is damaged ({error}). Run `dvc repro --force train`.") from error


def _names(tensors: Mapping[str, Tensor], length: float) -> list[str]:
    start = key(length, "")
    return [name.removeprefix(start) for name in tensors if name.startswith(start)]


def _inner(
    time: NDArray[np.float64] | np.float64,
    power: NDArray[np.float64] | np.float64,
    other_time: NDArray[np.float64] | np.float64,
    other_power: NDArray[np.float64] | np.float64,
) -> NDArray[np.float64]:
    """Compute the inner product of two profiles, the integral of `p q` from 0 to the earlier time, in closed form."""
    earlier, total = np.minimum(time, other_time), power + other_power + 1
    product: NDArray[np.float64] = (
        (power + 1) * (other_power + 1) / total * (earlier / time) ** power * (earlier / other_time) ** other_power
        * earlier / (time * other_time)
    )  # fmt: skip
    return product
