"""Parameters: frozen, strict, typed. This module is the only reader of params.yaml.

A file that is wrong in any way fails here, before any work, in words: the key, its value, the limit, and the nearest
valid name for a misspelt one. Everything below `build.py` receives plain arguments and never sees these classes.
"""

import difflib
from pathlib import Path
from typing import Any, Self, TypeGuard, get_args

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ddpm.sections import Diffusion, Evaluate, Features, Flow, Net, Prepare, Promote, Sample, Section, Train

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
    "parse",
    "read_yaml",
]  # fmt: skip

PARAMS_FILE = Path("params.yaml")
SMALLEST_BLOCK = 50  # images: what ddpm.metrics refuses to score less than


class ParamsError(ValueError):
    """The parameters are wrong; the message says which, why, and what is allowed."""


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
        self.net.check_side(self.prepare.resolution)
        self._guidance_has_labels()
        if self.prepare.resolution % self.diffusion.shrinks_by:
            raise ValueError(
                f"diffusion.condition = {self.diffusion.condition} needs a prepare.resolution divisible by "
                f"{self.diffusion.shrinks_by}; it is {self.prepare.resolution}"
            )
        if self.sample.steps > self.diffusion.steps:
            raise ValueError(f"sample.steps = {self.sample.steps} exceeds diffusion.steps = {self.diffusion.steps}")
        if self.sample.variance == "learned" and getattr(self.diffusion, "variance", "fixed") != "learned":
            raise ValueError("sample.variance = learned needs a model that learns it: diffusion.variance = learned")
        if self.evaluate.splits > self.sample.count:
            raise ValueError(f"evaluate.splits = {self.evaluate.splits} exceeds sample.count = {self.sample.count}")
        self._blocks_are_equal_and_large_enough()
        return self

    def _blocks_are_equal_and_large_enough(self) -> None:
        count, blocks = self.sample.count, self.evaluate.blocks
        if count % blocks:
            raise ValueError(f"evaluate.blocks = {blocks} must divide sample.count = {count}")
        if blocks > 1 and count // blocks < SMALLEST_BLOCK:
            raise ValueError(
                f"evaluate.blocks = {blocks} leaves {count // blocks} of sample.count = {count} images to a block, and "
                f"{SMALLEST_BLOCK} are the fewest that are scored"
            )

    def _guidance_has_labels(self) -> None:
        labelled = self.prepare.labels == "folders"
        by_label = self.sample.guidance != 1 and not self.sample.guide
        if by_label and not labelled:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs labels, and prepare.labels = none; "
                "use 1, or a weaker model as sample.guide"
            )
        if by_label and self.train.label_dropout == 0:
            raise ValueError(
                f"sample.guidance = {self.sample.guidance} needs a model that has also learnt without labels, "
                "and train.label_dropout = 0; use a label_dropout such as 0.1, or guidance 1"
            )
        if self.features.extractor == "classifier" and not labelled:
            raise ValueError(
                "features.extractor = classifier needs labels, and prepare.labels = none; use extractor: inception, "
                "with the weights that `ddpm weights inception` brings, or put the images into class folders"
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
    keys, section = _place(problem["loc"])
    key = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a parameter; {_nearest(keys[-1], list(section.model_fields))}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        kinds = list(_kinds(section.model_fields[keys[-1]]))
        key += "." + problem["ctx"]["discriminator"].strip("'")
        if problem["type"] == "union_tag_not_found":
            return f"{key} is missing; possible: {', '.join(kinds)}"
        return f"{key} = {problem['ctx']['tag']!r} is unknown; {_nearest(problem['ctx']['tag'], kinds)}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{key} = {problem['input']!r}: {message}"


def _nearest(name: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"valid: {', '.join(valid)}"


def _place(location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """The keys down to a problem as the file has them, and the section that the last one is in.

    Where a section has several kinds, pydantic puts the kind after the section's key; it is no key.
    """
    keys: list[str] = []
    within: type[BaseModel] = Params
    found: FieldInfo | None = None
    for part in map(str, location):
        if found is not None and found.discriminator and part in _kinds(found):
            within, found = _kinds(found)[part], None
            continue
        if found is not None and _is_section(found.annotation):
            within = found.annotation
        keys.append(part)
        found = within.model_fields.get(part)
    return keys, within


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kinds(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The kinds of a section that has several, by the value of the key that tells them apart."""
    members = get_args(field.annotation)
    return {kind: each for each in members for kind in get_args(each.model_fields[field.discriminator].annotation)}
