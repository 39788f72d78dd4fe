"""Base class and types of the sections of params.yaml."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Batch = Annotated[int, Field(ge=1, le=2**20)]
Place = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A path; "" for none."""
Precision = Literal["fp32", "tf32", "bf16"]
Compile = bool | Literal["reduce-overhead"]
GRAPHS = "reduce-overhead: with CUDA graphs, for small networks"
"""Description of the last choice of Compile."""


class Section(BaseModel):
    """Base class of all sections: no unknown keys, no conversions, no changes afterwards.

    Every field has a default and a description, from which `config.render` writes params.yaml. Defaults apply to
    presets only; params.yaml itself must be complete (`wording.missing`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
