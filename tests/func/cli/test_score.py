"""`ddpm score`, as a person types it: two sets of images of any program, with the conditions of every number."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ddpm.cli import app
from ddpm.common import files
from ddpm.evaluation import extractor_store, reference
from ddpm.metrics import efficientnet, frechet
from ddpm.metrics.extractors import ClassifierExtractor
from tests.support.scored import FAKE, REAL, ddpm, noise, printed_scores, write


@pytest.fixture(autouse=True)
def here(scored_sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scored_sets)


def test_files_and_arrays_get_the_numbers_that_the_scores_give() -> None:
    said = [printed_scores("--real", f"real{ending}", "--fake", f"fake{ending}") for ending in ("", ".npy")]
    extractor = extractor_store.from_folder(Path("out/features"), "cpu")
    expected = frechet.frechet_distance(frechet.moments(extractor(FAKE)), frechet.moments(extractor(REAL)))
    assert said[0]["fid"] == pytest.approx(expected, rel=1e-5)
    for name in said[0].keys() - {"conditions"}:
        assert said[0][name] == said[1][name]
    assert said[0]["class_histogram"] == pytest.approx({"dark": 100 / 240, "light": 140 / 240}, abs=0.01)


def test_conditions_say_what_was_measured_and_what_needs_a_held_out_set_is_left_out() -> None:
    said = printed_scores("--real", "real", "--fake", "fake")
    conditions = said["conditions"]
    assert isinstance(conditions, dict)
    assert (conditions["extractor"], conditions["resize"], conditions["sizes"]) == ("classifier", "none", "8x8")
    assert (conditions["real"], conditions["fake"], conditions["drawn"]) == ("real", "fake", "all")
    assert (conditions["count"], conditions["reference_count"]) == (240, 240)
    assert "fid_halves" in said
    assert not {"fid_floor", "memorisation_ratio", "nearest_heldout_baseline"} & said.keys()
    more = printed_scores("--real", "real", "--fake", "fake", "--heldout", "real.npy")
    assert "fid_floor" in more
    assert "nearest_heldout_baseline" not in more, "copies of the real images tell nothing of new ones"
    assert more["memorisation"]["heldout_with_near_copy"] == 240  # type: ignore[index]


def test_the_same_set_twice_is_at_distance_zero_and_is_called_a_copy() -> None:
    said = printed_scores("--real", "real", "--fake", "real.npy")
    assert said["fid"] == pytest.approx(0, abs=1e-4)
    assert said["nearest_train_distance"] == 0


def test_a_person_sees_progress_scores_and_conditions() -> None:
    said = ddpm("--real", "real", "--fake", "fake").stdout
    for part in (
        "score: features of real: 240 images",
        "FID (classifier, 240 images)  ",
        "FID (classifier, 240 images) infinity  ",
        "class histogram dark",
        "  extractor sha256: ",
        "real",
    ):
        assert part in said


def test_a_count_takes_as_many_of_each_and_the_seed_says_which() -> None:
    first, again, other = (
        printed_scores("--real", "real", "--fake", "fake", "--count", "60", "--seed", seed) for seed in ("0", "0", "1")
    )
    assert first == again
    assert first["fid"] != other["fid"]
    assert first["conditions"]["count"] == first["conditions"]["reference_count"] == 60  # type: ignore[index]
    histogram = first["class_histogram"]
    assert isinstance(histogram, dict)
    assert min(histogram.values()) > 0.2  # drawn from the whole set and not from its beginning


def test_several_sizes_need_a_named_policy_which_the_record_has() -> None:
    refused = ddpm("--real", "real", "--fake", "mixed", "--count", "100")
    assert refused.exit_code == 1
    assert "2 sizes (8x8, 20x20)" in refused.stderr
    clean, legacy = (
        printed_scores("--real", "real", "--fake", "mixed", "--count", "100", "--resize", each)
        for each in ("clean", "legacy")
    )
    assert [said["conditions"]["resize"] for said in (clean, legacy)] == ["clean", "legacy"]  # type: ignore[index]
    assert clean["fid"] != legacy["fid"]


def test_colour_files_are_made_grey_for_a_grey_classifier_and_pictures_keep_their_whole_width(tmp_path: Path) -> None:
    np.save(tmp_path / "colour.npy", np.repeat(FAKE, 3, axis=3))
    write(str(tmp_path / "wide"), [np.concatenate([image, image], axis=1) for image in FAKE])
    said = [
        printed_scores("--real", "real", "--fake", "fake"),
        printed_scores("--real", "real", "--fake", str(tmp_path / "colour.npy")),
    ]
    assert said[0]["fid"] == said[1]["fid"]
    stretched = printed_scores("--real", "real", "--fake", str(tmp_path / "wide"), "--resize", "clean")
    halves = np.stack([np.concatenate([image, image], axis=1) for image in FAKE])
    extractor = ClassifierExtractor(reference.load()[0].model, "x", resize="clean")  # type: ignore[attr-defined]
    expected = frechet.frechet_distance(frechet.moments(extractor(halves)), frechet.moments(extractor(REAL)))
    assert stretched["fid"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("asked", "said"), [
    (["--real", "real", "--fake", "few"], "--fake few: 49 images are too few to score; at least 50"),
    (["--real", "real", "--fake", "fake", "--count", "20"], "--count 20: 20 images are too few"),
    (["--real", "real", "--fake", "fake", "--count", "241"], "has only 240 images"),
    (["--real", "real", "--fake", "mixed", "--resize", "clean"], "240 real and 120 fake images"),
    (["--real", "real", "--fake", "broken"], "0007.png: it is empty"),
    (["--real", "real", "--fake", "floats.npy"], "floats.npy holds float64"),
    (["--real", "real", "--fake", "nowhere"], "nowhere does not exist"),
    (["--real", "real", "--fake", "fake", "--resize", "bilinear"], "possible: clean, legacy"),
    (["--real", "real", "--fake", "fake", "--extractor", "torchscript:x"], "unknown; possible: efficientnet-lite0, cl"),
    (["--real", "real", "--fake", "fake", "--extractor", "inception"], "`ddpm weights inception` downloads"),
    (["--real", "real", "--fake", "fake", "--extractor", "dinov2:none.pth"], "`ddpm weights dinov2` downloads"),
    (["--real", "real", "--fake", "fake", "--extractor", "own:real"], "unknown; possible: efficientnet-lite0, cl"),
    (["--real", "real", "--fake", "fake", "--extractor", "classifier:real"], "real has no extractor"),
])  # fmt: skip
def test_what_cannot_be_scored_is_refused_in_words(asked: list[str], said: str) -> None:
    result = ddpm(*asked)
    assert result.exit_code == 1
    assert said in result.stderr


def test_features_of_an_extractor_that_went_are_refused(tmp_path: Path) -> None:
    old = shutil.copytree("out/features", tmp_path / "old")
    config = files.read_json(old / extractor_store.EXTRACTOR)
    files.write_json(old / extractor_store.EXTRACTOR, config | {"name": "own"})
    refused = ddpm("--real", "real", "--fake", "fake", "--extractor", f"classifier:{old}").stderr
    assert "names the extractor 'own', which is not supported. Set features.extractor to auto" in refused


def test_unequal_counts_are_taken_when_asked() -> None:
    said = printed_scores("--real", "real", "--fake", "mixed", "--resize", "clean", "--unequal")
    assert (said["conditions"]["count"], said["conditions"]["reference_count"]) == (120, 240)  # type: ignore[index]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of colour images outside of any project."""
    folder = tmp_path_factory.mktemp("photographs")
    np.save(folder / "real.npy", noise(60, 0, side=16, channels=3))
    np.save(folder / "fake.npy", noise(60, 80, side=16, channels=3))
    return folder


@pytest.mark.slow
def test_two_sets_without_a_project_are_scored_by_the_default_extractor(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photographs)
    done = CliRunner().invoke(app, ["score", "--real", "real.npy", "--fake", "fake.npy", "--json"])
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["fid"] > 10
    conditions = said["conditions"]
    assert (conditions["extractor"], conditions["extractor_sha256"]) == ("efficientnet-lite0", efficientnet.SHA256)
    assert (conditions["resize"], conditions["full_rank"]) == ("clean", False)
