"""The committed parameters with changes."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ddpm.config import params, presets

ROOT = Path(__file__).parents[2]
VALID = params.read_yaml(ROOT / "params.yaml")
# Values that tests of rules depend on, so that tuning the defaults does not affect them.
VALID["prepare"] |= {"resolution": 28, "labels": "folders"}
VALID["diffusion"] |= {"steps": 1000, "beta_start": 0.0001, "beta_end": 0.02}
VALID["net"] |= {"kind": "unet", "channels": 32, "multipliers": [1, 2], "attention": [7], "middle_attention": True}
VALID["net"] |= {"head_channels": 32, "groups": 8, "patch": 2}
VALID["train"] |= {"batch": 32, "accumulation": 1, "label_dropout": 0.1}
VALID["sample"] |= {
    "count": 2000,
    "sampler": "dpm-solver++",
    "steps": 20,
    "eta": 0.0,
    "guidance": 1.0,
    "guidance_interval": None,
}


def with_changes(**changes: Any) -> dict[str, Any]:
    """The default parameters with `section__key=value` changed."""
    value = copy.deepcopy(VALID)
    for name, new in changes.items():
        section, key = name.split("__")
        value[section][key] = new
    return value


def refusal(value: dict[str, Any]) -> str:
    with pytest.raises(params.ParamsError) as error:
        params.parse(value)
    return str(error.value)


def write_quick_params(**sample: Any) -> None:
    """Write the preset `quick` to params.yaml in the current folder, with changes of section sample."""
    settings = presets.values(ROOT / "presets/quick.yaml")
    settings["sample"] |= sample
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(settings, file)


def write(**changes: Any) -> None:
    """Write `with_changes` to params.yaml in the current folder."""
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(with_changes(**changes), file)
