"""Parameters: frozen, strict, typed. The only reader of params.yaml.

An invalid file fails here, before any work, with the key, its value, the limit, and the nearest valid name of a
misspelt key. Packages below `config` receive plain arguments and never import these classes.
"""

import math
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from ddpm.common import units, values, yaml_file
from ddpm.common.yaml_file import ParamsError
from ddpm.config import named_files
from ddpm.config.sections import (
    Diffusion,
    Evaluate,
    Features,
    Flow,
    Net,
    Prepare,
    Promote,
    Sample,
    Section,
    Train,
    wording,
)
from ddpm.config.sections.diffusion import Ddpm
from ddpm.config.sections.net import UNet
from ddpm.config.sections.pipeline import Name
from ddpm.config.sections.prepare import MOST_COLUMNS, Images

__all__ = [
    "PARAMS_FILE",
    "Diffusion",
    "Evaluate",
    "Features",
    "Flow",
    "Net",
    "Params",
    "ParamsError",
    "Prepare",
    "Promote",
    "Sample",
    "Train",
    "flatten",
    "load",
    "model_name",
    "parse",
    "read_yaml",
]  # fmt: skip

PARAMS_FILE = Path("params.yaml")
SMALLEST_BLOCK = 50  # images; ddpm.metrics refuses to score fewer
LARGEST_BYTES = 2**40  # of one array in memory
LONGEST_LIST = 20  # problems listed in a message


class Params(Section):
    """All sections, and the rules between them."""

    prepare: Prepare = Field(default_factory=Images)
    features: Features = Field(default_factory=Features)
    diffusion: Diffusion = Field(default_factory=Ddpm)
    net: Net = Field(default_factory=UNet)
    train: Train = Field(default_factory=Train)
    sample: Sample = Field(default_factory=Sample)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    promote: Promote = Field(default_factory=Promote)
    flow: Flow = Field(default_factory=Flow)

    @model_validator(mode="after")
    def sections_agree(self) -> Self:
        """Check the rules between sections."""
        self.net.check_side(self.prepare.sides[0], self.prepare.side_key)
        self._kind_has_meaning()
        self._guidance_has_labels()
        self._limits_have_scores()
        if self.prepare.sides[0] % self.diffusion.shrinks_by:
            raise ValueError(
                f"diffusion.condition = {self.diffusion.condition} needs a prepare.resolution divisible by "
                f"{self.diffusion.shrinks_by}; it is {self.prepare.sides[0]}"
            )
        if self.sample.steps > self.diffusion.steps:
            raise ValueError(f"sample.steps = {self.sample.steps} exceeds diffusion.steps = {self.diffusion.steps}")
        if self.sample.variance == "learned" and getattr(self.diffusion, "variance", "fixed") != "learned":
            raise ValueError("sample.variance = learned needs a model that learns it: diffusion.variance = learned")
        if self.sample.count < SMALLEST_BLOCK:
            raise ValueError(
                f"sample.count = {self.sample.count}: {SMALLEST_BLOCK} images are the fewest that can be evaluated"
            )
        if self.sample.count % self.evaluate.splits:
            raise ValueError(
                f"evaluate.splits = {self.evaluate.splits} must divide sample.count = {self.sample.count}: the parts "
                "of the Inception Score are of equal size"
            )
        self._blocks_are_equal_and_large_enough()
        self._sizes_are_possible()
        return self

    def _sizes_are_possible(self) -> None:
        """Refuse sizes that need a terabyte of memory; smaller limits depend on the machine."""
        prepare, micro = self.prepare, self.train.batch // self.train.accumulation
        channels = prepare.channels if prepare.kind == "images" else MOST_COLUMNS
        image = math.prod(prepare.sides) * channels
        first = self.net.values(prepare.sides)
        chosen = self.features.choice(labelled=prepare.labelled, kind=prepare.kind)
        features = 4 * self.features.width if chosen == "classifier" else 2048
        for name, size in (
            ("net: the weights, their average, gradient and two moments", 20 * self.net.weights),
            (f"train.batch = {self.train.batch} at once", 4 * micro * first),
            (f"sample.batch = {self.sample.batch} at once", 4 * min(self.sample.batch, self.sample.count) * first),
            (f"sample.count = {self.sample.count} images", self.sample.count * max(image, 4 * features)),
            (f"features.batch = {self.features.batch} at once", 4 * self.features.batch * max(image, features)),
        ):
            if size > LARGEST_BYTES:
                raise ValueError(f"{name} would take about {units.size(int(size))}; use less")

    def require_files(self) -> None:
        """Raise ParamsError for named files and folders that are missing or invalid.

        Call it at the start of a run: later stages may need only the outputs made from them.
        """
        if problems := self.missing_files():
            lines = ["params.yaml names missing or invalid files:", *(f"  {each}" for each in problems)]
            raise ParamsError("\n".join(lines))

    def missing_files(self) -> list[str]:
        """List a message for each named file or folder that is missing or invalid."""
        return list(named_files.problems(self.prepare, self.features, self.diffusion, self.train, self.sample))

    def _blocks_are_equal_and_large_enough(self) -> None:
        count, blocks = self.sample.count, self.evaluate.blocks
        if count % blocks:
            raise ValueError(f"evaluate.blocks = {blocks} must divide sample.count = {count}")
        if blocks > 1 and count // blocks < SMALLEST_BLOCK:
            raise ValueError(
                f"evaluate.blocks = {blocks} leaves {count // blocks} of sample.count = {count} images per block; "
                f"at least {SMALLEST_BLOCK} are needed"
            )

    def _guidance_has_labels(self) -> None:
        labelled = self.prepare.labelled
        by_label = self.sample.guidance != 1 and not self.sample.guide
        if by_label and not labelled:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs labels, and {self._without_labels()}; "
                "use 1, or a weaker model as sample.guide"
            )
        if by_label and self.train.label_dropout == 0:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs a model that is also trained without labels, "
                "but train.label_dropout = 0; use a label_dropout such as 0.1, or guidance 1"
            )
        if self.features.extractor == "classifier" and not labelled:
            raise ValueError(
                "features.extractor = classifier needs labels, but prepare.labels = none; use extractor: auto, "
                "or put the images into class folders"
            )

    def _without_labels(self) -> str:
        return "prepare.labels = none" if self.prepare.kind == "images" else "prepare.kind = series has none"

    def _kind_has_meaning(self) -> None:
        """Refuse what exists for images only, or for series only."""
        if self.prepare.kind == "images":
            if self.features.extractor == "kernels":
                raise ValueError("features.extractor = kernels is for series (prepare.kind); use auto")
            return
        for key, value, needed in (
            ("features.extractor", self.features.extractor, ("auto", "kernels")),
            ("diffusion.condition", self.diffusion.condition, ("none",)),
            ("train.flip", self.train.flip, (False,)),
            ("sample.clamp", self.sample.clamp, (False,)),
        ):
            if value not in needed:
                shown = " or ".join(str(each).lower() for each in needed)
                raise ValueError(f"{key} = {str(value).lower()} is for images, but prepare.kind = series; use {shown}")

    def _limits_have_scores(self) -> None:
        series = self.prepare.kind == "series"
        for limit in ("min_inception_score", "min_class_share", "min_class_skill"):
            if series and getattr(self.promote, limit) is not None:
                raise ValueError(f"promote.{limit} is a limit for images, but prepare.kind = series; use null")
        if self.features.extractor == "dinov2" and self.promote.min_inception_score is not None:
            raise ValueError(
                f"promote.min_inception_score = {self.promote.min_inception_score:g} needs an Inception Score, which "
                "features.extractor = dinov2 does not have; use null"
            )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping (YAML 1.2, safe). Raises ParamsError that names the file."""
    try:
        value = yaml_file.read(path)
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist. Run this in the project folder, or `ddpm preset mnist`.") from error
    if not isinstance(value, dict):
        sections = ", ".join(Params.model_fields)
        raise ParamsError(f"{path} must have sections ({sections}), but has {yaml_file.short_repr(value)}")
    return value


def parse(value: dict[str, Any], source: str = "params", *, complete: bool = True) -> Params:
    """Check a mapping of sections. Raises ParamsError that lists all problems.

    complete: True if a missing key is an error; otherwise it has its default.
    """
    problems = list(wording.missing(value, Params)) if complete else []
    try:
        found = Params.model_validate(_lists_to_tuples(value))
    except ValidationError as error:
        problems += [wording.message(problem, Params) for problem in error.errors()]
    except RecursionError as error:
        raise ParamsError(f"{source} is not valid: it is nested too deeply.") from error
    if len(problems) > LONGEST_LIST:
        problems[LONGEST_LIST:] = [f"and {len(problems) - LONGEST_LIST:,} more"]
    if problems:
        raise ParamsError("\n".join([f"{source} is not valid:", *(f"  {each}" for each in problems)]))
    return found


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameters. Raises ParamsError."""
    return parse(read_yaml(path), str(path))


def model_name(path: Path = PARAMS_FILE) -> str:
    """Read only promote.name; the rest of the file may be invalid. Raises ParamsError."""
    section = read_yaml(path).get("promote")
    if not isinstance(section, dict) or "name" not in section:
        raise ParamsError(f"{path} has no promote.name, the name of the registered model; add it, or give --name.")
    try:
        return str(TypeAdapter(Name).validate_python(section["name"], strict=True))
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ParamsError(
            f"{path}: promote.name = {yaml_file.short_repr(section['name'])}: {message[0].lower()}{message[1:]}"
        ) from error


def flatten(params: BaseModel) -> dict[str, str]:
    """Flatten to `{"train.lr": "0.002", ...}`, with values as text, for the record."""
    return {key: str(value) for key, value in values.flatten(params.model_dump(mode="json"), depth=2)}


def _lists_to_tuples(value: Any) -> Any:
    """Convert the lists of YAML to the tuples of the frozen sections."""
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return tuple(_lists_to_tuples(item) for item in value) if isinstance(value, list) else value
