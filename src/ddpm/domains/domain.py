"""A domain: the shape of an example, and its conversions between the stored array and the network's tensor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each channel, in stored units; empty for a domain of fixed range."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Domain:
    """Examples of one kind and shape. All else in the core is independent of dimensions.

    shape: of one example as the network sees it, channels first. stored: of one example as stored, channels last;
    dtype: of the stored array. encode: stored (B, *stored) to float32 (B, *shape). decode: the inverse, to an array;
    raises NotFiniteError. nearest: estimates of x0 (B, *shape) to the nearest values that an example can have.
    """

    shape: tuple[int, ...]
    stored: tuple[int, ...]
    dtype: type[np.generic]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], NDArray[Any]]
    nearest: Callable[[Tensor], Tensor]
