"""The sample stage with a guide: a weaker checkpoint that is named in the parameters."""

from pathlib import Path

import numpy as np
import pytest

from ddpm.common import files
from ddpm.model import alike, checkpoint
from ddpm.sampling import generate
from tests.support import tiny
from tests.support.sample_section import section


def test_a_guide_is_loaded_and_recorded_by_its_content(tmp_path: Path, tiny_checkpoint: Path) -> None:
    weak = tiny.random_checkpoint(tmp_path / "weak")
    model = checkpoint.load(weak, weights="raw")
    checkpoint.save(tmp_path / "weak", model.config, model.denoiser.state_dict(), model.denoiser.state_dict())
    tiny.draw(tiny_checkpoint, tmp_path / "guided", section(guide=str(weak)))
    tiny.draw(tiny_checkpoint, tmp_path / "alone", section())
    guided, alone = (files.read_json(tmp_path / each / "sample.json") for each in ("guided", "alone"))
    assert guided["guide_sha256"] == checkpoint.load(weak).sha256
    assert alone["guide_sha256"] == ""
    assert guided["evaluations"] == 8  # of both models
    assert "guide" not in guided  # a path is no condition of a score
    assert (np.load(tmp_path / "guided/images.npy") != np.load(tmp_path / "alone/images.npy")).any()


def test_a_guide_that_is_missing_or_does_not_fit_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sample.guide = 'nowhere' is not a checkpoint folder"):
        tiny.draw(tiny_checkpoint, tmp_path / "out", section(guide="nowhere"))
    other = tiny.random_checkpoint(tmp_path / "other", tiny.unlabelled())
    with pytest.raises(ValueError, match=r"the guide does not fit this model: its image.classes is \[\]"):
        tiny.draw(tiny_checkpoint, tmp_path / "out", section(guide=str(other)))
    assert not (tmp_path / "out").exists()


def test_a_champion_with_its_classes_in_another_order_is_drawn_by_their_names(tmp_path: Path) -> None:
    turned = {**tiny.CONFIG, "image": {**tiny.CONFIG["image"], "classes": ["light", "dark"]}}
    folder = tiny.random_checkpoint(tmp_path / "turned", turned)
    assert not alike.differences(tiny.typed(), tiny.typed(turned))
    tiny.draw(folder, tmp_path / "own", section())
    tiny.draw(folder, tmp_path / "by-name", section(), classes=["dark", "light"])
    assert np.load(tmp_path / "by-name/labels.npy").tolist() == [0, 1, 0, 1]  # dark, light, dark, light
    sampling = section().sampling
    drawn = generate.generate(checkpoint.load(folder), 4, sampling, labels=[1, 0, 1, 0])
    assert np.array_equal(np.load(tmp_path / "by-name/images.npy"), drawn)
    assert np.array_equal(np.load(tmp_path / "own/labels.npy"), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="the model has no class bright; it has light, dark"):
        tiny.draw(folder, tmp_path / "never", section(), classes=["dark", "bright"])


def test_classes_are_requested_in_the_shares_of_their_weights(tmp_path: Path, tiny_checkpoint: Path) -> None:
    asked = section(count=20)
    tiny.draw(tiny_checkpoint, tmp_path / "uneven", asked, class_weights=[400, 100])
    labels = np.load(tmp_path / "uneven/labels.npy")
    assert [int(block.sum()) for block in labels.reshape(4, 5)] == [1, 1, 1, 1]
    drawn = generate.generate(checkpoint.load(tiny_checkpoint), 20, asked.sampling, labels=labels.tolist())
    assert np.array_equal(np.load(tmp_path / "uneven/images.npy"), drawn)
    assert files.read_json(tmp_path / "uneven/sample.json")["class_shares"] == "as in training"
    tiny.draw(tiny_checkpoint, tmp_path / "even", asked, class_weights=[7, 7])
    assert np.load(tmp_path / "even/labels.npy").tolist() == [0, 1] * 10
    assert files.read_json(tmp_path / "even/sample.json")["class_shares"] == "equal"
    with pytest.raises(ValueError, match="the prepared images have 3 classes and the model has 2"):
        tiny.draw(tiny_checkpoint, tmp_path / "never", asked, class_weights=[1, 1, 1])


def test_precision_is_a_condition_and_changes_the_images(tmp_path: Path, tiny_checkpoint: Path) -> None:
    tiny.draw(tiny_checkpoint, tmp_path / "exact", section())
    tiny.draw(tiny_checkpoint, tmp_path / "rounded", section(precision="bf16"))
    exact, rounded = (np.load(tmp_path / each / "images.npy").astype(int) for each in ("exact", "rounded"))
    assert np.abs(exact - rounded).max() > 0
    assert np.abs(exact - rounded).mean() < 8  # of 255: bf16 has 8 bits of mantissa
    found = {each: files.read_json(tmp_path / each / "sample.json") for each in ("exact", "rounded")}
    assert (found["exact"]["precision"], found["exact"]["compile"]) == ("fp32", False)
    assert found["rounded"]["precision"] == "bf16"
    with pytest.raises(ValueError, match=r"sample.precision = tf32 needs an NVIDIA GPU, and the device is cpu"):
        tiny.draw(tiny_checkpoint, tmp_path / "never", section(precision="tf32"), device="cpu")
    assert not (tmp_path / "never").exists()
