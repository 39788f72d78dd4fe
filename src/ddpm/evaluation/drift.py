"""Drift of a data set from the champion's: effect sizes with tests, and a verdict. Pure: no input or output.

Every difference has a size from 0 (none) to 1 (disjoint) and, where there is a test, a p-value. The limit applies to
the size, because with many images every difference is significant, however small. The p-value only tells which sizes
chance explains, so that the noise of a small set raises no alarm.

The tests assume independent samples. Versions of one data set share images, which makes the difference smaller than
that of independent sets: the tests err towards finding nothing. P-values are corrected together by Holm's method (Holm
1979), which bounds the chance of any false alarm under arbitrary dependence; brightness and contrast are strongly
dependent, and a single alarm calls for a human decision.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ddpm.data.profile import MEASURES, Profile

ALPHA = 0.05
"""Chance of an alarm, of all tests together, when nothing has changed."""
LEAST_EXPECTED = 5
"""Expected count below which a cell of the chi-square table is pooled (Cochran 1954)."""
DIGITS = 6
NAMED = 5

Verdict = Literal["none", "within", "beyond"]


@dataclass(frozen=True)
class Finding:
    """Result of one test. effect: 0 to 1; p_corrected: by Holm, over all tests; old, new: summaries of the two sets."""

    name: str
    kind: str
    effect: float
    p_value: float
    p_corrected: float
    old: str
    new: str

    @property
    def real(self) -> bool:
        """True if the difference exceeds chance."""
        return self.p_corrected < ALPHA


@dataclass(frozen=True)
class FeatureDistance:
    """Squared Fréchet distance of the training images' features, all from the extractor of the older set.

    value: from the older set's images to `count` new ones. floor: the expected value for as many unseen images like the
    older ones. effect: what the value is above the floor, relative to the maximum for sets of these means and
    covariances, 0 to 1. margin: how many times the floor is taken for chance.
    """

    value: float
    floor: float
    effect: float
    extractor_sha256: str
    count: int
    margin: float = 2.0

    @property
    def real(self) -> bool:
        """True if the difference exceeds chance."""
        return self.value > self.margin * self.floor


@dataclass(frozen=True)
class Drift:
    """Result of a comparison. images: distinct ones by `new`, `removed`, `kept`, and further copies in the new set."""

    old_sha256: str
    new_sha256: str
    tests: tuple[Finding, ...]
    images: Mapping[str, int]
    classes: Mapping[str, tuple[int, int]]
    features: FeatureDistance | None = None
    notes: tuple[str, ...] = ()

    def effects(self) -> dict[str, float]:
        """Sizes of the differences that exceed chance, the largest first."""
        found = {test.name: test.effect for test in self.tests if test.real}
        if self.features is not None and self.features.real:
            found["features"] = self.features.effect
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def size(self) -> float:
        """The largest effect."""
        return max(self.effects().values(), default=0.0)

    def verdict(self, limit: float | None) -> Verdict:
        """`none`: nothing exceeds chance; `within` the limit, or without one; `beyond` it."""
        if not self.effects():
            return "none"
        return "beyond" if limit is not None and self.size > limit else "within"

    def summary(self, limit: float | None) -> str:
        """A one-sentence summary."""
        counts = ", ".join(f"{self.images[key]:,} {key}" for key in ("new", "removed") if self.images[key])
        parts = [*_gone_and_come(self.classes), counts or "no image new or removed"]
        if not self.effects():
            return f"{'; '.join(parts)}; nothing else differs from the champion's data beyond chance"
        sizes = ", ".join(f"{name} {size:.2g}" for name, size in self.effects().items())
        against = {"beyond": f"beyond flow.max_drift = {limit}", "within": f"within flow.max_drift = {limit}"}
        measured = "no limit is set" if limit is None else against[self.verdict(limit)]
        return f"{'; '.join(parts)}; different from the champion's data in {sizes}: {measured}"

    def as_json(self, limit: float | None) -> dict[str, Any]:
        """Plain values, for the record and the report."""
        features = self.features
        return {
            "data_sha256": self.new_sha256,
            "tests": [asdict(test) | {"limit": limit} for test in self.tests],
            "images": dict(self.images),
            "classes": {name: list(counts) for name, counts in self.classes.items()},
            "feature_distance": None if features is None else asdict(features) | {"limit": limit},
            "notes": list(self.notes),
            "drift": self.size,
            "limit": limit,
            "verdict": self.verdict(limit),
            "words": self.summary(limit),
        }


def compare(old: Profile, new: Profile, features: FeatureDistance | None = None, notes: Sequence[str] = ()) -> Drift:
    """Compare two sets of one kind by their profiles; raises ValueError for two kinds.

    features: their distance, measured by the caller with a network.
    """
    if old.kind != new.kind:
        raise ValueError(f"{old.kind} and {new.kind} cannot be compared. Give the new data another promote.name.")
    tables = {
        "classes": (old.class_counts(), new.class_counts()),
        "sizes": (old.size_counts(), new.size_counts()),
        "modes": (old.mode_counts(), new.mode_counts()),
    }
    if new.kind != "images":
        tables = {"sizes": tables["sizes"]}
    found = [counted(name, *table) for name, table in tables.items()]
    found += [measured(name, old.values(name), new.values(name)) for name in MEASURES[new.kind]]
    corrected = holm([test.p_value for test in found])
    tests = tuple(_corrected(test, p_value) for test, p_value in zip(found, corrected, strict=True))
    before, after = old.class_counts(), new.class_counts()
    names = sorted(before.keys() | after.keys())
    return Drift(
        old.data_sha256,
        new.data_sha256,
        tests,
        images(old, new),
        {name: (before[name], after[name]) for name in names},
        features,
        tuple(notes),
    )


def counted(name: str, old: Counter[str], new: Counter[str]) -> Finding:
    """Two sets by kinds: total variation of the shares, and Pearson's chi-square test of homogeneity.

    Kinds that are expected less than LEAST_EXPECTED times in either set are pooled, and that pool, if it is still too
    small, with the next rarest kind: only then is the statistic's distribution near chi-square. With one kind left (all
    images alike, or no two) there is nothing to test, and p is 1.
    """
    from scipy.stats import chi2_contingency

    kinds = sorted(old.keys() | new.keys())
    table = np.array([[counts[kind] for kind in kinds] for counts in (old, new)], np.int64)
    shares = table / table.sum(axis=1, keepdims=True)
    pooled = pool(table)
    p_value = 1.0 if pooled.shape[1] < 2 else float(chi2_contingency(pooled, correction=False).pvalue)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return Finding(name, "chi-square, total variation", rounded(effect), rounded(p_value), 1.0, _mix(old), _mix(new))


def pool(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (2, K) with the rare kinds added up, so that each column is expected often enough in both rows."""
    columns = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    expected = columns.sum(axis=0) * (table.sum(axis=1).min() / table.sum())  # in the smaller set
    rare = int((expected < LEAST_EXPECTED).sum())
    if rare and expected[:rare].sum() < LEAST_EXPECTED:
        rare += 1
    return np.hstack([columns[:, :rare].sum(axis=1, keepdims=True), columns[:, rare:]]) if rare else columns


def measured(name: str, old: NDArray[np.floating], new: NDArray[np.floating]) -> Finding:
    """Two sets by a number per image: the Kolmogorov-Smirnov distance and its two-sample test.

    The asymptotic distribution is used: a prepared set has 150 images at least, and ties make the test err towards
    finding nothing.
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(old, new, method="asymp")
    mean = [f"mean {float(values.mean(dtype=np.float64)):.4g}" for values in (old, new)]
    return Finding(name, "Kolmogorov-Smirnov", rounded(found.statistic), rounded(found.pvalue), 1.0, *mean)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number: multiplied by m, m - 1, ... from the smallest, never falling, at most 1."""
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)).clip(max=1)
    found = np.empty_like(stepped)
    found[order] = stepped
    return [rounded(value) for value in found]


def images(old: Profile, new: Profile) -> dict[str, int]:
    """Count distinct images: new, removed, kept, and `duplicates`, the further copies in the new set.

    Images are identified by their prepared pixels, or by their files if the two sets were prepared in different shapes.
    """
    alike = (old.resolution, old.channels) == (new.resolution, new.channels)
    before, after = (set(each.rows["pixels" if alike else "file"].tolist()) for each in (old, new))
    return {
        "new": len(after - before),
        "removed": len(before - after),
        "duplicates": len(new.rows) - len(after),
        "kept": len(after & before),
    }


def _corrected(test: Finding, p_value: float) -> Finding:
    return Finding(**{**asdict(test), "p_corrected": p_value})


def _gone_and_come(classes: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Classes that only one of the sets has, by name."""
    for what, index in (("missing", 1), ("new", 0)):
        names = [name for name, counts in classes.items() if not counts[index]]
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"class{'es' if len(names) > 1 else ''} {what}: {', '.join(names[:NAMED])}{more}"


def _mix(counts: Counter[str]) -> str:
    """`28x28 90%, 32x32 10%`: the most common first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} {100 * count / counts.total():.3g}%" for name, count in ranked[:NAMED]]
    return ", ".join(shown) + (f" and {len(ranked) - NAMED} more" if len(ranked) > NAMED else "")


def rounded(value: float) -> float:
    """Six significant digits: what is beyond them is rounding of one machine."""
    return float(f"{value:.{DIGITS}g}")
