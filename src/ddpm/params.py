"""Parameters: frozen, strict, typed. This module is the only reader of params.yaml.

A file that is wrong in any way fails here, before any work, in words: the key, its value, the limit, and the nearest
valid name for a misspelt one. Everything below `build.py` receives plain arguments and never sees these classes.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS_FILE = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=1)]
Sampler = Literal["ddpm", "ddim", "dpm-solver++"]
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr"]


class ParamsError(ValueError):
    """The parameters are wrong; the message says which, why, and what is allowed."""


class Section(BaseModel):
    """What every section shares: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Prepare(Section):
    """From a folder of image files to one array."""

    resolution: int = Field(ge=4, le=1024)
    channels: Literal[1, 3]
    labels: Literal["folders", "none"]
    background: int = Field(ge=0, le=255)
    holdout: float = Field(gt=0, lt=0.9)
    max_pixels: Count
    max_bad_fraction: Fraction
    near_duplicate: float = Field(ge=0, le=64)


class Features(Section):
    """What evaluation looks at images with."""

    extractor: Literal["classifier", "inception"]
    weights: str
    images: Count
    batch: Count
    width: int = Field(ge=4, le=1024, multiple_of=4)
    lr: float = Field(gt=0, le=1)
    seed: Seed


class Diffusion(Section):
    """The forward process and what the network predicts."""

    steps: int = Field(ge=1, le=5000)
    schedule: Literal["linear", "cosine", "quadratic", "sigmoid"]
    beta_start: float = Field(gt=0, lt=1)
    beta_end: float = Field(gt=0, lt=1)
    prediction: Literal["eps", "x0", "v", "edm"]
    sigma_data: float = Field(gt=0, le=10)
    weighting: Literal["noise", "output"]

    @model_validator(mode="after")
    def betas_ascend(self) -> Self:
        """The noise has to grow."""
        if self.beta_start >= self.beta_end:
            raise ValueError(f"beta_start = {self.beta_start} must be below beta_end = {self.beta_end}")
        return self


class Net(Section):
    """The U-Net."""

    channels: int = Field(ge=8, le=1024)
    multipliers: tuple[Count, ...] = Field(min_length=1, max_length=8)
    blocks: int = Field(ge=1, le=16)
    attention: tuple[Count, ...]
    head_channels: int = Field(ge=1, le=512)
    groups: Count
    scale_shift: bool
    dropout: float = Field(ge=0, lt=1)
    patch: Literal[1, 2, 4]

    @property
    def downsampling(self) -> int:
        """By how much the side of an image shrinks from input to the deepest level."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        for multiplier in self.multipliers:
            width = self.channels * multiplier
            if width % self.groups:
                raise ValueError(
                    f"groups = {self.groups} must divide every level's width; channels * {multiplier} = {width}"
                )
        return self


class Train(Section):
    """The optimisation, counted in images."""

    seed: Seed
    images: Count
    batch: Count
    accumulation: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0, le=10)
    warmup: int = Field(ge=0)
    decay: Fraction
    weight_decay: float = Field(ge=0, le=10)
    beta2: float = Field(gt=0, lt=1)
    clip: float = Field(gt=0)
    ema: int = Field(ge=0)
    label_dropout: Fraction
    flip: bool
    precision: Literal["fp32", "bf16"]
    compile: bool
    channels_last: bool
    log_every: Count
    sample_every: Count
    checkpoint_every: Count
    keep: int = Field(ge=2, le=100)

    @model_validator(mode="after")
    def batch_divides(self) -> Self:
        """Every micro-batch has the same size, and the budget holds at least one batch."""
        if self.batch % self.accumulation:
            raise ValueError(f"accumulation = {self.accumulation} must divide batch = {self.batch}")
        if self.images < self.batch:
            raise ValueError(f"images = {self.images} is below one batch = {self.batch}")
        if self.warmup > self.images:
            raise ValueError(f"warmup = {self.warmup} exceeds images = {self.images}")
        return self


class Sample(Section):
    """How images are drawn from the trained model."""

    count: Count
    seed: Seed
    sampler: Sampler
    steps: Count
    spacing: Spacing
    eta: float = Field(ge=0, le=1)
    variance: Literal["small", "large"]
    guidance: float = Field(ge=0, le=100)
    clamp: bool
    batch: Count
    strip: int = Field(ge=2, le=64)


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count
    neighbours: Count
    grid: int = Field(ge=1, le=64)


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    max_fid: float | None = Field(gt=0)
    min_inception_score: float | None = Field(ge=1)
    min_class_share: float | None = Field(ge=0, le=1)
    min_improvement: float = Field(ge=0)


class Flow(Section):
    """The workflow around the stages."""

    time_limit: int = Field(ge=1)
    retries: int = Field(ge=0, le=10)
    cron: str


class Params(Section):
    """All sections, and the rules between them."""

    prepare: Prepare
    features: Features
    diffusion: Diffusion
    net: Net
    train: Train
    sample: Sample
    evaluate: Evaluate
    promote: Promote
    flow: Flow

    @model_validator(mode="after")
    def sections_agree(self) -> Self:
        """The rules that no section can check alone."""
        self._net_fits_images()
        self._guidance_has_labels()
        if self.sample.steps > self.diffusion.steps:
            raise ValueError(f"sample.steps = {self.sample.steps} exceeds diffusion.steps = {self.diffusion.steps}")
        if self.sample.sampler != "ddim" and self.sample.eta != 0:
            raise ValueError(f"sample.eta = {self.sample.eta} applies to sampler ddim only; use 0")
        if self.evaluate.splits > self.sample.count:
            raise ValueError(f"evaluate.splits = {self.evaluate.splits} exceeds sample.count = {self.sample.count}")
        return self

    def _net_fits_images(self) -> None:
        resolution, net = self.prepare.resolution, self.net
        if resolution % net.downsampling:
            raise ValueError(
                f"prepare.resolution = {resolution} must be divisible by {net.downsampling}: "
                f"net.patch = {net.patch} and {len(net.multipliers)} levels in net.multipliers "
                f"halve it {net.downsampling.bit_length() - 1} times"
            )
        sides = [resolution // net.patch // 2**level for level in range(len(net.multipliers))]
        for side in net.attention:
            if side not in sides:
                raise ValueError(f"net.attention = {side} is no resolution of this U-Net; it has {sides}")
        for side, multiplier in zip(sides, net.multipliers, strict=True):
            width = net.channels * multiplier
            if (side in net.attention or side == sides[-1]) and width % net.head_channels:
                raise ValueError(
                    f"net.head_channels = {net.head_channels} must divide the width {width} (channels * {multiplier}) "
                    f"of the level with side {side}, which has attention; the deepest level always has"
                )

    def _guidance_has_labels(self) -> None:
        labelled = self.prepare.labels == "folders"
        if self.sample.guidance != 1 and not labelled:
            raise ValueError(f"sample.guidance = {self.sample.guidance} needs labels, and prepare.labels = none; use 1")
        if self.sample.guidance != 1 and self.train.label_dropout == 0:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs a model that has also learnt without labels, "
                "and train.label_dropout = 0; use a label_dropout such as 0.1, or guidance 1"
            )
        if self.features.extractor == "classifier" and not labelled:
            raise ValueError(
                "features.extractor = classifier needs labels, and prepare.labels = none; use extractor: inception"
            )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping (YAML 1.2, safe). Raises ParamsError that names the file."""
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist. Run in the project's folder, or `ddpm preset mnist`.") from error
    except YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path} must hold sections ({', '.join(Params.model_fields)}); it holds {value!r}")
    return value


def parse(value: dict[str, Any], source: str = "params") -> Params:
    """Check a mapping of sections. Raises ParamsError that lists everything wrong with it."""
    try:
        return Params.model_validate(_lists_to_tuples(value))
    except ValidationError as error:
        problems = "\n".join(f"  {_in_words(problem)}" for problem in error.errors())
        raise ParamsError(f"{source} is not valid:\n{problems}") from error


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameters. Raises ParamsError."""
    return parse(read_yaml(path), str(path))


def flatten(params: BaseModel) -> dict[str, str]:
    """`{"train.lr": "0.002", ...}`: every key with its value as text, for a record."""
    flat: dict[str, str] = {}
    for section, values in params.model_dump(mode="json").items():
        for key, value in values.items():
            flat[f"{section}.{key}"] = str(value)
    return flat


def _lists_to_tuples(value: Any) -> Any:
    """YAML has lists where the frozen sections have tuples."""
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return tuple(_lists_to_tuples(item) for item in value) if isinstance(value, list) else value


def _in_words(problem: Any) -> str:
    """One line for one problem: key, value, limit, and the nearest valid name of a misspelt key."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        valid = _valid_names(location[:-1])
        near = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"valid: {', '.join(valid)}"
        return f"{key} is not a parameter; {hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{key} = {problem['input']!r}: {message}"


def _valid_names(location: list[str]) -> list[str]:
    """The keys of the section at `location`."""
    model: Any = Params
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
