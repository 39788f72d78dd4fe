"""One review: images and their order, answers, and result.

A seeded coin toss decides for each image if it is real or generated, so the answers are independent trials and the
remaining number of either kind is unknown. Answers are saved before the next image is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files

FOLDER = Path(".state/review")
CONFIDENCE = 0.95
Pixels = NDArray[np.uint8]


@dataclass
class Session:
    """A review: images uint8 (N, H, W, C) in display order; real bool (N,); answers: True for "real"."""

    path: Path
    images: Pixels
    real: NDArray[np.bool_]
    conditions: Mapping[str, Any]
    answers: list[bool]
    finished: bool = False

    @property
    def done(self) -> bool:
        """True once every image has an answer."""
        return len(self.answers) == len(self.real)

    def answer(self, position: int, real: bool) -> None:
        """Record an answer for the image at `position`. Raises ValueError if another image is due."""
        if self.finished or position != len(self.answers) or self.done:
            raise ValueError(f"image {position + 1} is not the one to judge now")
        self.answers.append(real)
        self.save()

    def undo(self) -> None:
        """Undo the last answer. Raises ValueError if there is none, or the result was shown."""
        if self.finished or not self.answers:
            raise ValueError("there is no answer to undo")
        self.answers.pop()
        self.save()

    def finish(self) -> dict[str, Any]:
        """Close the review and return its result. Raises ValueError before the last answer."""
        if not self.done:
            raise ValueError(f"{len(self.real) - len(self.answers)} images have no answer yet")
        self.finished = True
        self.save()
        return self.result()

    def result(self) -> dict[str, Any]:
        """Return the result, as `outcome` computes it."""
        return outcome(np.array(self.answers, dtype=bool), self.real)

    def save(self) -> None:
        """Save conditions and answers, and the result of a finished review."""
        content = {"conditions": dict(self.conditions), "answers": self.answers, "finished": self.finished}
        files.write_json(self.path, content | ({"result": self.result()} if self.finished else {}))


def start(
    real: Pixels, generated: Pixels, *, count: int, seed: int, conditions: Mapping[str, Any], folder: Path = FOLDER
) -> Session:
    """Start the review of these images, or resume it.

    Raises ValueError for too few images, differing shapes, or a damaged file of the review.
    """
    if real.shape[1:] != generated.shape[1:]:
        raise ValueError(f"real images are {real.shape[1:]}, but generated ones {generated.shape[1:]}")
    least = min(len(real), len(generated))
    if count > least:
        raise ValueError(f"--count {count}: {len(real)} held-out and {len(generated)} generated images allow {least}")
    random = np.random.default_rng(seed)
    coins = random.random(count) < 0.5
    ours, theirs = random.permutation(len(real))[:count], random.permutation(len(generated))[:count]
    shown = np.stack([real[ours[i]] if coin else generated[theirs[i]] for i, coin in enumerate(coins)])
    identity = {**conditions, "count": count, "seed": seed}
    path = folder / f"{files.sha256_json(identity)[:16]}.json"
    answers, finished = _saved(path, count)
    return Session(path, shown, coins, identity, answers, finished)


def _saved(path: Path, count: int) -> tuple[list[bool], bool]:
    """Load the saved answers, and True if the review was finished."""
    if not path.is_file():
        return [], False
    found = files.read_json(path)
    answers = found.get("answers") if isinstance(found, dict) else None
    if not isinstance(answers, list) or len(answers) > count or not all(isinstance(each, bool) for each in answers):
        raise ValueError(f"{path} is damaged. Delete it to begin this review again.")
    return answers, bool(found.get("finished"))


def outcome(answers: NDArray[np.bool_], real: NDArray[np.bool_]) -> dict[str, Any]:
    """Compute error rates with exact intervals (Clopper and Pearson 1934), and a test against guessing.

    error: of all answers; guessing gives 0.5. fooled: generated images judged real; missed: real ones judged
    generated; each is omitted if no such image was shown. p_guessing: exact two-sided binomial test of error rate 0.5.
    """
    from scipy.stats import binomtest

    wrong = answers != real
    parts = {"error": wrong, "fooled": wrong[~real], "missed": wrong[real]}
    result: dict[str, Any] = {"interval": f"{CONFIDENCE:.0%}, exact binomial (Clopper-Pearson)"}
    for name, found in parts.items():
        if len(found) == 0:
            continue
        test = binomtest(int(found.sum()), len(found))
        interval = test.proportion_ci(CONFIDENCE, method="exact")
        result[name] = {
            "wrong": int(found.sum()),
            "of": len(found),
            "rate": float(test.statistic),
            "low": float(interval.low),
            "high": float(interval.high),
        }
        if name == "error":
            result["p_guessing"] = float(test.pvalue)
    return result


def png(image: Pixels) -> bytes:
    """Encode (H, W, 1 or 3) without compression, so all images of one shape have the same number of bytes."""
    from ddpm.imaging.pixels import to_png

    return to_png(image, compress_level=0)
