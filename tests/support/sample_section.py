"""Section sample for a tiny model."""

from pathlib import Path
from typing import Any

from ddpm.config import params, presets

ROOT = Path(__file__).parents[2]


def section(**changes: Any) -> params.Sample:
    values = presets.values(ROOT / "presets" / "quick.yaml")["sample"]
    few = {"count": 4, "steps": 4, "strip": 3, "batch": 4, "sampler": "dpm-solver++", "guidance": 2.0}
    return params.Sample(**{**values, **few, **changes})
