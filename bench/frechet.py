"""The trace of the matrix root in FID: symmetric eigenvalues against scipy's `sqrtm`, pair by pair.

    python bench/frechet.py [--dimension 2048] [--pairs 3] [--out FILE]

Each pair of covariances is given to both, in turn; full rank (more images than dimensions) and rank deficient (half as
many). Prints seconds of both, the ratio for each pair, and how far the distances are apart. The eigenvalue side is
timed with the reference's root, which an evaluation takes once and keeps, both counted in and left out.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch

from ddpm.metrics.frechet import Moments, frechet_distance, moments


def with_sqrtm(first: Moments, second: Moments) -> float:
    """The distance as it is usually computed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular matrices: they are the point
        root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
    gap = first.mean - second.mean
    return float(gap @ gap + np.trace(first.covariance) + np.trace(second.covariance) - 2 * np.trace(root).real)


def measure(dimension: int, images: int, seed: int) -> dict[str, Any]:
    """Seconds of each on one pair of Gaussian sets."""
    random = np.random.default_rng(seed)
    scales = np.linspace(0.2, 2, dimension)
    first, second = (moments(random.normal(shift, 1, size=(images, dimension)) * scales) for shift in (0.0, 0.1))
    marks = [time.perf_counter()]
    distances = [frechet_distance(first, second)]  # with the root of `second`
    marks.append(time.perf_counter())
    distances.append(frechet_distance(first, second))  # root known
    marks.append(time.perf_counter())
    distances.append(with_sqrtm(first, second))
    marks.append(time.perf_counter())
    ours, known, theirs = np.diff(marks).tolist()
    return {
        "dimension": dimension,
        "images": images,
        "eigenvalues_s": round(ours, 2),
        "root_known_s": round(known, 2),
        "sqrtm_s": round(theirs, 2),
        "ratio": round(theirs / ours, 1),
        "ratio_root_known": round(theirs / known, 1),
        "distances": [float(f"{value:.8g}") for value in distances],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    arguments = parser.parse_args()
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, threads of torch {torch.get_num_threads()}")
    for pair in range(arguments.pairs):
        for images in (arguments.dimension * 2, arguments.dimension // 2):
            row = json.dumps(measure(arguments.dimension, images, pair))
            print(row, flush=True)
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.write(row + "\n")


if __name__ == "__main__":
    main()
