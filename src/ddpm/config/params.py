"""Parameters: frozen, strict, typed. The only reader of params.yaml.

An invalid file fails here, before any work, with the key, its value, the limit, and the nearest valid name of a
misspelt key. Packages below `config` receive plain arguments and never import these classes.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from ddpm.common import values, yaml_file
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

    prepare: Prepare = Field(default_factory=Prepare)
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
        self.net.check_side(self.prepare.resolution)
        self._guidance_has_labels()
        self._limits_have_scores()
        self._objective_has_its_sampler()
        if self.prepare.resolution % self.diffusion.shrinks_by:
            raise ValueError(
                f"diffusion.condition = {self.diffusion.condition} needs a prepare.resolution divisible by "
                f"{self.diffusion.shrinks_by}; it is {self.prepare.resolution}"
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
        image, micro = self.prepare.resolution**2 * self.prepare.channels, self.train.batch // self.train.accumulation
        first = self.net.values(self.prepare.resolution)
        chosen = self.features.choice(labelled=self.prepare.labels == "folders")
        features = 4 * self.features.width if chosen == "classifier" else 2048
        for name, size in (
            ("net: the weights, their average, gradient and two moments", 20 * self.net.weights),
            (f"train.batch = {self.train.batch} at once", 4 * micro * first),
            (f"sample.batch = {self.sample.batch} at once", 4 * min(self.sample.batch, self.sample.count) * first),
            (f"sample.count = {self.sample.count} images", self.sample.count * max(image, 4 * features)),
            (f"features.batch = {self.features.batch} at once", 4 * self.features.batch * max(image, features)),
        ):
            if size > LARGEST_BYTES:
                raise ValueError(f"{name} would take about {size / LARGEST_BYTES:,.1f} TiB; use less")

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
        labelled = self.prepare.labels == "folders"
        by_label = self.sample.guidance != 1 and not self.sample.guide
        if by_label and not labelled:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs labels, but prepare.labels = none; "
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

    def _objective_has_its_sampler(self) -> None:
        """Check that a consistency model can be trained with this prediction, and is sampled as one."""
        trains, samples = self.train.objective == "consistency", self.sample.sampler == "consistency"
        if trains and not samples:
            raise ValueError(
                f"train.objective = consistency needs sample.sampler = consistency; it is {self.sample.sampler}. Use "
                "it with sample.spacing = trailing and sample.steps = 1 to 4"
            )
        if samples and not trains:
            raise ValueError("sample.sampler = consistency needs a model trained with train.objective = consistency")
        if trains and self.diffusion.prediction == "x0":
            raise ValueError(
                "train.objective = consistency needs a model that returns its input where sigma is 0, which "
                "diffusion.prediction = x0 does not; use v, or any other"
            )
        if trains and self.train.teacher_guidance != 1 and self.prepare.labels == "none":
            raise ValueError(
                f"train.teacher_guidance = {self.train.teacher_guidance} needs labels, but prepare.labels = none; use 1"
            )

    def _limits_have_scores(self) -> None:
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
