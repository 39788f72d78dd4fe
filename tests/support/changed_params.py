"""The committed parameters with changes."""

import copy
from pathlib import Path
from typing import Any

from ddpm.config import params

ROOT = Path(__file__).parents[2]
VALID = params.read_yaml(ROOT / "params.yaml")


def with_changes(**changes: Any) -> dict[str, Any]:
    """The default parameters with `section__key=value` changed."""
    value = copy.deepcopy(VALID)
    for name, new in changes.items():
        section, key = name.split("__")
        value[section][key] = new
    return value
