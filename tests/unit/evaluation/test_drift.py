"""Drift between data sets with known differences."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from ddpm.data.profile import ROW, Profile
from ddpm.evaluation import drift
from ddpm.evaluation.drift import FeatureDistance

CLASSES = tuple("abcde")


def profile(seed: int, count: int = 600, classes: tuple[str, ...] = CLASSES, **changes: Any) -> Profile:
    """Images of five classes, two modes and three sizes, each with a brightness and a contrast of its own."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    for name in ("pixels", "file"):
        rows[name] = np.frombuffer(random.bytes(16 * count), "V16")
    rows["brightness"] = random.normal(100, 20, count) + changes.get("brighter", 0)
    rows["contrast"] = random.gamma(9, 5, count) * changes.get("stronger", 1)
    rows["width"] = random.choice([32, 48, 64], count, p=changes.get("sizes", [0.5, 0.3, 0.2]))
    rows["height"] = 64
    rows["mode"] = random.choice(2, count, p=changes.get("modes", [0.7, 0.3]))
    rows["label"] = random.choice(len(classes), count)
    return Profile(rows, classes, ("L", "RGB"), 16, 1, f"{seed:064d}")


def found(result: drift.Drift) -> set[str]:
    return set(result.effects())


def test_two_samples_of_one_distribution_show_no_drift_in_95_percent_of_seeds() -> None:
    alarms = sum(bool(drift.compare(profile(seed), profile(seed + 1000)).effects()) for seed in range(200))
    assert alarms <= 10


def test_without_the_correction_there_would_be_more_false_alarms() -> None:
    """This shows that the test above can fail."""
    pairs = [drift.compare(profile(seed), profile(seed + 1000)) for seed in range(200)]
    assert sum(any(test.p_value < drift.ALPHA for test in pair.tests) for pair in pairs) > 25


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"brighter": 15}, {"brightness"}),
        ({"stronger": 1.4}, {"contrast"}),
        ({"sizes": [0.2, 0.3, 0.5]}, {"sizes", "side"}),
        ({"modes": [0.4, 0.6]}, {"modes"}),
        ({"classes": tuple("abcd")}, {"classes"}),
    ],
)
def test_each_kind_of_change_is_found_and_named_alone(changes: dict[str, Any], named: set[str]) -> None:
    result = drift.compare(profile(1), profile(2, **changes))
    assert found(result) == named
    assert all(name in result.summary(0.1) for name in named)


def test_effects_are_sizes_known_in_advance() -> None:
    """A shift by s of a normal of deviation d moves its distribution function by 2 Phi(s / 2d) - 1 at most."""
    result = drift.compare(profile(1, 40_000), profile(2, 40_000, brighter=20, sizes=[0.3, 0.3, 0.4]))
    effects = result.effects()
    assert effects["brightness"] == pytest.approx(0.3829, abs=0.01)
    assert effects["sizes"] == pytest.approx(0.2, abs=0.01)
    assert result.size == effects["brightness"]


def test_a_missing_and_a_new_class_are_named() -> None:
    result = drift.compare(profile(1), profile(2, classes=("a", "b", "c", "d", "x")))
    assert "class missing: e; class new: x" in result.summary(None)
    assert result.classes["e"][1] == result.classes["x"][0] == 0
    assert result.effects()["classes"] == pytest.approx(0.2, abs=0.05)


def test_a_limit_is_set_on_the_size_and_not_on_significance() -> None:
    """Among 100,000 images a shift by a twentieth of the spread is significant beyond doubt, and small."""
    result = drift.compare(profile(1, 100_000), profile(2, 100_000, brighter=1))
    (test,) = (each for each in result.tests if each.name == "brightness")
    assert test.p_corrected < 1e-6
    assert result.verdict(0.1) == "within"
    assert result.verdict(0.01) == "beyond"
    assert result.verdict(None) == "within"


def test_a_large_difference_that_chance_explains_stops_nobody() -> None:
    result = drift.compare(profile(1, 12), profile(2, 12))
    assert max(test.effect for test in result.tests) > 0.2
    assert result.verdict(0.1) == "none"
    assert result.size == 0


def test_images_are_new_removed_kept_or_copies() -> None:
    old = profile(1)
    rows = np.concatenate([old.rows[100:], old.rows[100:103], profile(2, 40).rows])
    new = Profile(rows, old.classes, old.modes, 16, 1, "new")
    assert drift.images(old, new) == {"new": 40, "removed": 100, "duplicates": 3, "kept": 500}
    assert "40 new, 100 removed" in drift.compare(old, new).summary(None)


def test_images_prepared_in_another_shape_are_told_apart_by_their_files() -> None:
    old = profile(1)
    rows = old.rows.copy()
    rows["pixels"] = profile(2).rows["pixels"]
    assert drift.images(old, Profile(rows, old.classes, old.modes, 16, 1, ""))["kept"] == 0
    assert drift.images(old, Profile(rows, old.classes, old.modes, 32, 1, ""))["kept"] == 600


def test_a_set_and_itself_differ_in_nothing() -> None:
    result = drift.compare(profile(1), profile(1))
    assert {test.effect for test in result.tests} == {0.0}
    assert {test.p_value for test in result.tests} == {1.0}
    assert result.verdict(0.0) == "none"


def test_rare_kinds_are_pooled_until_each_is_expected_often_enough() -> None:
    table = np.array([[1, 2, 3, 90, 104], [0, 3, 1, 100, 96]])
    pooled = drift.pool(table)
    assert pooled.sum(axis=1).tolist() == table.sum(axis=1).tolist()
    assert pooled.tolist() == [[6, 90, 104], [4, 100, 96]]
    assert drift.pool(np.array([[1, 90, 104], [1, 100, 96]])).tolist() == [[91, 104], [101, 96]]
    assert drift.pool(np.array([[50, 60], [50, 60]])).tolist() == [[50, 60], [50, 60]]
    assert drift.pool(np.array([[1, 0, 1, 1], [0, 1, 1, 1]])).shape == (2, 1)


def test_holm_is_stricter_than_false_discovery_and_gives_back_its_definition() -> None:
    given = [0.01, 0.04, 0.03, 0.5]
    assert drift.holm(given) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert (np.array(drift.holm(given)) >= false_discovery_control(given) - 1e-12).all()


def distance(value: float) -> FeatureDistance:
    return FeatureDistance(value, floor=1.0, effect=0.4, extractor_sha256="e", count=400)


def test_a_feature_distance_counts_above_twice_its_floor() -> None:
    assert drift.compare(profile(1), profile(1), distance(1.9)).verdict(0.2) == "none"
    result = drift.compare(profile(1), profile(1), distance(2.1))
    assert (result.verdict(0.2), result.size) == ("beyond", 0.4)
    assert "features 0.4: beyond flow.max_drift = 0.2" in result.summary(0.2)


def test_the_record_has_what_a_page_shows() -> None:
    result = drift.compare(profile(1), profile(2, brighter=40), notes=["a note"]).as_json(0.2)
    assert result["verdict"] == "beyond"
    assert [test["name"] for test in result["tests"]] == ["classes", "sizes", "modes", "side", "brightness", "contrast"]
    row = result["tests"][4]
    assert (row["limit"], row["old"][:8], row["new"][:8]) == (0.2, "mean 100", "mean 140")
    assert result["tests"][1]["old"].startswith("32x64 ")
    assert result["feature_distance"] is None
    assert result["notes"] == ["a note"]
