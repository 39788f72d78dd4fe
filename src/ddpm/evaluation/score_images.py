"""Scores of two sets of images from any source, with the conditions under which they were measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.evaluation import extractor_store, image_sets, reference, reference_file
from ddpm.evaluation.extractor_names import FEATURES, parsed
from ddpm.evaluation.image_sets import Images
from ddpm.evaluation.reference_file import ReferenceFile
from ddpm.metrics import dinov2, frechet, inception, record
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.floors import floors
from ddpm.metrics.inception_score import require_equal_parts
from ddpm.metrics.record import Reference
from ddpm.metrics.scoring import Features


@dataclass(frozen=True)
class Measured:
    """Features of the selected images of each set, (N, D) by name, and how they were selected and computed.

    classes: class names of the extractor. saved: statistics in place of real images. conditions: sources and sizes.
    drawn: how the images were selected.
    """

    features: Mapping[str, NDArray[np.float32]]
    extractor: Extractor
    classes: tuple[str, ...]
    saved: ReferenceFile | None
    conditions: Mapping[str, str]
    drawn: str
    seed: int

    def scores(self, splits: int) -> dict[str, Any]:
        """Compute all scores of the set `fake` and their conditions, as in metrics.json."""
        result = _result(self.features, self.extractor, self.classes, self.saved, seed=self.seed, splits=splits)
        result["conditions"] |= {**self.conditions, "drawn": self.drawn}
        return result


def measure(
    real: Images, fake: Images | None, heldout: Images | None = None, *, extractor: str, count: int | None = None,
    resize: str | None = None, unequal: bool = False, splits: int = 10, seed: int = 0, device: str = "cpu",
    quiet: bool = True,
) -> Measured:  # fmt: skip
    """Open, check and select the sets, and extract their features. Parameters: the options of `ddpm score`.

    real: images, or a file of statistics. quiet: show no progress. Raises ValueError, DataError, FileNotFoundError.
    """
    saved = _statistics(real, heldout)
    given = {"real": None if saved else real, "fake": fake, "heldout": heldout}
    paths = {name: each for name, each in given.items() if each is not None}
    resize = resize or (saved and saved.origin.resize.replace("none", "")) or None
    sets = {name: image_sets.open_set(name, each, quiet) for name, each in paths.items()}
    sizes = image_sets.sizes(sets, resize)
    selected = image_sets.select(sets, count, unequal, seed)
    if "fake" in selected:
        require_equal_parts(len(selected["fake"]), splits)
    network, classes = _extractor(extractor, resize, device)
    if saved:
        saved.require(network)
    features = {name: image_sets.features(name, sets[name], selected[name], network, quiet) for name in sets}
    named = {name: image_sets.label(each) for name, each in ({"real": real} | paths).items()}
    drawn = "all" if count is None else f"by seed {seed}"
    return Measured(features, network, classes, saved, {**named, "sizes": sizes}, drawn, seed)


def _statistics(real: Images, heldout: Images | None) -> ReferenceFile | None:
    """Read the statistics if `real` is a file of statistics. Raises ValueError for held-out images beside it."""
    if not isinstance(real, Path) or not reference_file.is_reference(real):
        return None
    if heldout is not None:
        reference_file.require_images(real)
    return reference_file.read(real)


def _result(
    features: Mapping[str, NDArray[np.float32]],
    extractor: Extractor,
    classes: tuple[str, ...],
    saved: ReferenceFile | None,
    *,
    seed: int,
    splits: int,
) -> dict[str, Any]:
    """Compute the scores against real images, or only against their statistics, with their conditions."""
    fake = Features(features["fake"])
    if saved is None:
        reference = _reference(features, extractor, classes, seed)
        return record.score_features(fake, None, extractor, reference, splits=splits)
    result = record.score_against(fake, saved.moments, extractor, sha256=saved.sha256, splits=splits)
    result["conditions"]["split"] = saved.origin.split or "not recorded"
    if not saved.origin.extractor_sha256:
        result["conditions"]["note"] = f"the file does not name its extractor, assumed to be {extractor.name}"
    return result


def _extractor(option: str, resize: str | None, device: str) -> tuple[Extractor, tuple[str, ...]]:
    """Load the extractor that --extractor names, with its class names. Raises ValueError, FileNotFoundError."""
    kind, path = parsed(option)
    match kind:
        case "efficientnet-lite0":
            return extractor_store.open_efficientnet(resize or "clean", device), ()
        case "classifier":
            folder = Path(path or FEATURES)
            if not (folder / reference.SUMMARY).is_file():
                raise FileNotFoundError(
                    f"{folder} has no extractor. In a project, run `dvc repro features`; elsewhere, "
                    "name one: --extractor classifier:FOLDER (a project's out/features), or omit --extractor"
                )
            found = extractor_store.from_folder(folder, device, resize or "none")
            if found.name != "classifier":
                raise ValueError(f"{folder} holds {found.name}, not a classifier; use --extractor {found.name}")
            return found, tuple(files.read_json(folder / reference.SUMMARY)["classes"])
        case "inception" | "dinov2":
            file = path or f"weights/{inception.FILE if kind == 'inception' else dinov2.FILE}"
            return extractor_store.open_published(kind, file, resize or "clean", device), ()
    raise KeyError(f"{kind} is a name without a loader")


def _reference(
    features: Mapping[str, NDArray[np.float32]], extractor: Extractor, classes: tuple[str, ...], seed: int
) -> Reference:
    """Build the reference; without held-out images, the floors and ratios that need them are omitted."""
    real, more = features["real"], features.get("heldout")
    found = None
    if len(real) // 2 >= frechet.SMALLEST_SET:
        found = floors(Features(real), None if more is None else Features(more), None, seed=seed, extractor=extractor)
    heldout = real[:0] if more is None else more
    sha256 = files.sha256_json([files.sha256_bytes(part.tobytes()) for part in (real, heldout)] + [list(classes)])
    scores, counts = (found.scores, found.counts) if found else ({}, {})
    return Reference(frechet.moments(real), real, heldout, scores, classes, sha256, floor_counts=counts)
