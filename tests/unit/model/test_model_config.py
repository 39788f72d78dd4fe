"""The typed configuration of a model against files of this and of older versions."""

import copy
from pathlib import Path
from typing import Any

import pytest

from ddpm.common import files
from ddpm.model import checkpoint
from ddpm.model.config import VERSION, ModelConfig
from tests.support import tiny


def test_what_is_read_is_written_again() -> None:
    config = tiny.typed()
    assert config.as_json() == {"version": VERSION, **tiny.CONFIG}
    assert ModelConfig.from_json(config.as_json()).as_json() == config.as_json()
    assert (config.image.classes, config.image.label_dropout) == (("dark", "light"), 0.1)
    assert (config.net.kind, config.net.patch, config.net.options["blocks"]) == ("unet", 1, 1)
    assert (config.diffusion.scale, config.diffusion.learned_variance) == (0, False)
    assert tiny.typed(tiny.enlarging()).diffusion.scale == 2
    assert config.extended(digest="ab").digest == "ab"


def version_1() -> dict[str, Any]:
    """A config as the first version wrote it: one process, one network, one input."""
    config = copy.deepcopy(tiny.CONFIG)
    for name in ("kind", "middle_attention", "resample", "layout"):
        del config["net"][name]
    for name in ("process", "variance", "condition"):
        del config["diffusion"][name]
    config["diffusion"]["weighting"] = "noise"
    return {"version": 1, **config}


def test_a_config_of_version_1_is_read() -> None:
    config = ModelConfig.from_json(version_1())
    assert config.net.options == {key: value for key, value in tiny.CONFIG["net"].items() if key != "kind"}
    assert (config.diffusion.process, config.diffusion.options["weighting"]) == ("ddpm", "simple")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({**tiny.CONFIG, "version": 3}, r"it has version 3; this program reads versions 1 and 2"),
        ({key: value for key, value in tiny.CONFIG.items() if key != "net"}, "it has no entry 'net'"),
        ({**tiny.CONFIG, "image": {"resolution": 8, "channels": 1}}, "it has no entry 'classes'"),
        ({**tiny.CONFIG, "image": tiny.CONFIG["image"] | {"kind": "sounds"}}, "its image.kind is 'sounds'; possible: "),
        ({**tiny.CONFIG, "image": 8}, "config.json cannot be read as the config of a checkpoint"),
    ],
)
def test_a_broken_config_is_refused_with_its_path(tmp_path: Path, broken: dict[str, Any], words: str) -> None:
    files.write_json(tmp_path / checkpoint.CONFIG, broken)
    with pytest.raises(ValueError, match=words) as refused:
        checkpoint.read_config(tmp_path)
    assert str(tmp_path) in str(refused.value)
