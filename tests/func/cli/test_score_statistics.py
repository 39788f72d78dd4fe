"""`ddpm score` against statistics of the real images, own and published ones."""

from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.evaluation import extractor_store, reference_file
from ddpm.metrics import frechet
from tests.support.scored import REAL, ddpm, printed_scores


@pytest.fixture(autouse=True)
def here(scored_sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scored_sets)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_statistics_of_the_real_images_give_the_fid_that_the_images_give(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"reference.{ending}"
    written = ddpm("--real", "real", "--save-reference", str(path))
    assert written.exit_code == 0, written.stderr
    assert "statistics of 240 real images (classifier)" in written.stderr
    whole, saved = (
        printed_scores("--real", "real", "--fake", "fake"),
        printed_scores("--real", str(path), "--fake", "fake"),
    )
    assert [saved[name] for name in ("fid", "fid_infinity", "inception_score")] == pytest.approx(
        [whole[name] for name in ("fid", "fid_infinity", "inception_score")], rel=1e-5
    )
    assert not {"kid", "precision", "recall", "memorisation_ratio"} & saved.keys()
    conditions = saved["conditions"]
    assert isinstance(conditions, dict)
    assert (conditions["reference_count"], conditions["count"]) == (240, 240)
    assert conditions["split"] == "all of real"
    assert conditions["reference_sha256"] == files.sha256_file(path)


def test_statistics_of_another_extractor_or_resizing_and_broken_files_are_refused(tmp_path: Path) -> None:
    extractor = extractor_store.from_folder(Path("out/features"), "cpu")
    moments = frechet.moments(extractor(REAL))
    path = tmp_path / "reference.npz"
    extractor.sha256 = "b" * 64
    reference_file.write(path, moments, extractor, "train")
    assert (
        "statistics of classifier (bbbbbbbbbbbb), not of classifier"
        in ddpm("--real", str(path), "--fake", "fake").stderr
    )
    resizing = extractor_store.from_folder(Path("out/features"), "cpu", "clean")
    reference_file.write(path, moments, resizing, "train")
    assert printed_scores("--real", str(path), "--fake", "fake")["conditions"]["resize"] == "clean"  # type: ignore[index]
    refused = ddpm("--real", str(path), "--fake", "fake", "--resize", "legacy").stderr
    assert "resized by 'clean', not by 'legacy'; choose --resize clean" in refused
    for content, words in (
        ({"mu": np.zeros(2048), "sigma": np.eye(2048)}, "statistics of 2,048 features, but classifier has 16"),
        ({"mu": np.zeros(16)}, "has no sigma"),
        ({"mu": np.zeros(16), "sigma": np.eye(15)}, "must be (D,) and (D, D)"),
        ({"mu": np.full(16, np.nan), "sigma": np.eye(16)}, "mu must hold finite floating-point numbers"),
        ({"mu": np.zeros(16), "sigma": np.array([{}])}, "is not an archive of plain arrays"),
    ):
        np.savez(path, **content)
        assert words in ddpm("--real", str(path), "--fake", "fake").stderr
    path.write_bytes(b"no archive")
    assert "is not an archive of plain arrays" in ddpm("--real", str(path), "--fake", "fake").stderr


def test_published_statistics_without_conditions_are_scored_against_and_said_to_be_so(tmp_path: Path) -> None:
    """Statistics as published by pytorch-fid, clean-fid and ADM: only `mu` and `sigma`."""
    extractor = extractor_store.from_folder(Path("out/features"), "cpu")
    moments = frechet.moments(extractor(REAL))
    np.savez(tmp_path / "published.npz", mu=moments.mean, sigma=moments.covariance)
    said = printed_scores("--real", str(tmp_path / "published.npz"), "--fake", "fake")
    assert said["fid"] == pytest.approx(printed_scores("--real", "real", "--fake", "fake")["fid"], rel=1e-5)
    conditions = said["conditions"]
    assert isinstance(conditions, dict)
    assert (conditions["reference_count"], conditions["split"]) == (0, "not recorded")
    assert "does not name its extractor" in conditions["note"]


@pytest.mark.parametrize(("asked", "said"), [
    (["--real", "real"], "--fake is missing"),
    (["--real", "real", "--save-reference", "x.json"], "x.json must end in .npz or .safetensors"),
    (["--real", "x.npz", "--fake", "fake", "--heldout", "real"], "need the real images"),
    (["--real", "x.npz", "--save-reference", "y.npz"], "need the real images"),
    (["--real", "x.npz", "--fake", "fake"], "x.npz does not exist"),
])  # fmt: skip
def test_options_of_reference_files_that_do_not_go_together(asked: list[str], said: str) -> None:
    result = ddpm(*asked)
    assert result.exit_code == 1
    assert said in result.stderr
