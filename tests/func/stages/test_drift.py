"""The data against those of a record, features and all: on real images and a classifier that is trained on them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ddpm import tracking
from ddpm.common import files
from ddpm.evaluation import feature_drift
from ddpm.metrics.frechet import Moments, frechet_distance, moments
from ddpm.metrics.real_distances import RealDistances
from ddpm.stages import drift, features, prepare
from tests.support import watched


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after prepare and features; read only."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        watched.write_params()
        watched.write_images(0)
        prepare.main()
        features.main()
    return folder


@pytest.fixture
def record(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data record of a run; the current folder is a project without images yet."""
    for path in tracking.data_record_files(finished / "out"):
        target = tmp_path / "record" / path.relative_to(finished / "out")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    watched.write_params()
    return tmp_path / "record"


def test_the_same_images_are_at_no_distance(record: Path) -> None:
    watched.write_images(0)
    prepare.main()
    found = feature_drift.compare(record, drift.PREPARED, "cpu")
    assert found.features is not None
    assert (found.features.value, found.features.effect) == pytest.approx((0, 0), abs=1e-9)
    assert found.features.floor > 0
    assert found.old_sha256 == found.new_sha256
    assert found.verdict(0.0) == "none"


def test_other_images_of_the_same_kind_are_no_farther_than_chance(record: Path) -> None:
    watched.write_images(1, count=150)
    prepare.main()
    found = feature_drift.compare(record, drift.PREPARED, "cpu")
    assert found.features is not None
    assert 0 < found.features.value < 2 * found.features.floor
    assert found.images == {"new": 300, "removed": 400, "duplicates": 0, "kept": 0}
    assert found.verdict(0.0) == "none"


def test_mirrored_images_are_seen_by_their_features_alone(record: Path) -> None:
    watched.write_images(0, mirrored=True)
    prepare.main()
    found = feature_drift.compare(record, drift.PREPARED, "cpu")
    assert set(found.effects()) == {"features"}
    assert found.verdict(0.15) == "beyond"
    extractor = files.read_json(record / "features/extractor.json")
    assert found.features is not None
    assert found.features.extractor_sha256 == extractor["sha256"], "the older one, for both sets"


def test_what_is_written_holds_the_limit_of_the_parameters(record: Path) -> None:
    watched.write_params(max_drift=0.35)
    watched.write_images(0, brighter=60)
    prepare.main()
    drift.main(str(record), "found.json")
    found = files.read_json(Path("found.json"))
    assert (found["limit"], found["verdict"]) == (0.35, "beyond")
    assert "brightness" in found["words"]
    assert found["feature_distance"]["effect"] > 0.35


def test_without_features_on_record_the_rest_is_compared_and_that_is_said(record: Path) -> None:
    shutil.rmtree(record / "features")
    watched.write_images(0, brighter=60)
    prepare.main()
    found = feature_drift.compare(record, drift.PREPARED, "cpu")
    assert found.features is None
    assert "brightness" in found.effects()
    assert found.notes == ("features were not compared: the champion's record holds none",)


def test_images_of_another_shape_have_no_feature_distance(record: Path) -> None:
    watched.write_params(channels=3)
    watched.write_images(0)
    prepare.main()
    found = feature_drift.compare(record, drift.PREPARED, "cpu")
    assert found.features is None
    assert "8 pixels, 1 channels and 8 pixels, 3 channels" in found.notes[0]
    assert found.images["kept"] == 400, "by their files"


def test_a_record_whose_parts_do_not_belong_together_is_refused(record: Path) -> None:
    watched.write_images(0)
    prepare.main()
    summary = files.read_json(record / "features/features.json")
    files.write_json(record / "features/features.json", summary | {"extractor_sha256": "0" * 64})
    with pytest.raises(ValueError, match="moments of another extractor"):
        feature_drift.compare(record, drift.PREPARED, "cpu")


class Named:
    """The part of an extractor that a distance needs."""

    sha256 = "e"


FLOORS = RealDistances(halves=0.5, split=0.0, half=500, train=1000, heldout=250, dimension=2)


def gaussian(mean: list[float], deviations: list[float]) -> Moments:
    return Moments(1000, np.array(mean), np.diag(np.square(deviations)))


@pytest.mark.parametrize(
    ("second", "value", "effect"),
    [
        (gaussian([0, 0], [1, 2]), 0.0, 0.0),
        (gaussian([3, 0], [1, 2]), 9.0, 8.75 / 19),  # |m1 - m2|^2 less the floor, of 9 + 5 + 5
        (gaussian([0, 0], [3, 2]), 4.0, 3.75 / 18),  # (3 - 1)^2 less the floor, of 5 + 13
    ],
)
def test_distances_of_gaussians_in_closed_form(second: Moments, value: float, effect: float) -> None:
    found = feature_drift.distance(Named(), gaussian([0, 0], [1, 2]), FLOORS, second)  # type: ignore[arg-type]
    assert (found.value, found.effect) == (pytest.approx(value, abs=1e-6), pytest.approx(effect, abs=1e-6))
    assert found.floor == pytest.approx(0.25)  # equal counts: two whole sets are half as far apart as two halves


def test_sets_with_no_direction_in_common_are_as_far_apart_as_can_be() -> None:
    found = feature_drift.distance(Named(), gaussian([0, 0], [1, 0]), FLOORS, gaussian([0, 5], [0, 2]))  # type: ignore[arg-type]
    assert found.effect == pytest.approx(1 - 0.25 / 30)


@pytest.mark.parametrize("count", [250, 1000, 4000])
def test_the_floor_is_what_finite_counts_alone_make_of_a_distance(count: int) -> None:
    """Samples of one Gaussian in 12 dimensions, of 1,000 and of `count`, 20 times."""
    random = np.random.default_rng(count)
    ratios = []
    for _ in range(20):
        old, new, held = (random.normal(size=(size, 12)) for size in (1000, count, 250))
        split = frechet_distance(moments(old), moments(held))
        floors = RealDistances(frechet_distance(moments(old[:500]), moments(old[500:])), split, 500, 1000, 250, 12)
        found = feature_drift.distance(Named(), moments(old), floors, moments(new))  # type: ignore[arg-type]
        ratios.append(found.value / found.floor)
    assert 0.7 < np.mean(ratios) < 1.1  # below 1: what the split is above its count by chance is kept, below it is not
    assert max(ratios) < 2


def test_what_the_extractor_has_learnt_by_heart_belongs_to_the_floor() -> None:
    """Unseen images are farther from those it was trained on than their counts explain, at any count."""
    counts_alone = 0.5 * 1000 / 4 * (1 / 1000 + 1 / 250)
    learnt = RealDistances(halves=0.5, split=counts_alone + 3, half=500, train=1000, heldout=250, dimension=2)
    assert learnt.at(1000, 10**9) == pytest.approx(3 + 0.125)
    assert learnt.at(1000, 1000) == pytest.approx(3 + FLOORS.at(1000, 1000))


@pytest.mark.parametrize(("dimension", "old", "held", "new"), [
    (128, 120, 60, 3000), (128, 120, 60, 60), (128, 400, 100, 4000), (512, 150, 50, 1000), (512, 300, 75, 300),
])  # fmt: skip
def test_fewer_images_than_features_raise_no_false_alarm_and_hide_no_real_one(
    dimension: int, old: int, held: int, new: int
) -> None:
    """Gaussian features of falling spread: the same distribution, and one whose means moved by 1.5 deviations."""
    random = np.random.default_rng(dimension + old)
    scale = np.arange(1, dimension + 1) ** -0.4

    def drawn(count: int, shift: float = 0.0) -> np.ndarray:
        return (random.normal(size=(count, dimension)) + shift) * scale

    for _ in range(5):
        before, unseen = drawn(old), drawn(held)
        half = old // 2
        halves = frechet_distance(moments(before[half : 2 * half]), moments(before[:half]))
        floors = RealDistances(halves, frechet_distance(moments(before), moments(unseen)), half, old, held, dimension)
        same, other = (
            feature_drift.distance(Named(), moments(before), floors, moments(drawn(new, shift)))  # type: ignore[arg-type]
            for shift in (0.0, 1.5)
        )
        assert not same.real
        assert same.effect < 0.15
        assert other.real
        assert other.effect > 0.15
