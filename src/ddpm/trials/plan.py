"""The plan of a command: variants from `KEY=VALUE` arguments, their seeds, and the trials that these make."""

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files, terminal, yaml_file
from ddpm.config import changes as config_changes
from ddpm.config import params
from ddpm.config.params import ParamsError
from ddpm.provenance import fingerprint
from ddpm.provenance.imports import PACKAGE
from ddpm.provenance.tags import lineage
from ddpm.tracking import Changes

STAGES = ("prepare", "features", "train", "sample", "evaluate")
UNUSED = ("promote", "flow")
"""Sections without effect on a training and its scores."""
SCALED = ("images", "warmup", "ema", "log_every", "sample_every", "checkpoint_every")
"""Keys of section train that `budget` scales: the images to train on, and lengths that must fit in them."""
MOST_TRIALS = 100
LONGEST_SLUG = 40


@dataclass(frozen=True)
class Trial:
    """One training to run. changes: by key (`train.lr`); empty for the current recipe.

    values: all parameters. budget: share of the images to train on. digest: SHA-256 of all that affects the result.
    """

    name: str
    changes: Mapping[str, Any]
    seed: int
    budget: float
    values: Mapping[str, Any]
    digest: str

    @property
    def label(self) -> str:
        """The changes as text, the same for all seeds."""
        return label(self.changes)

    @property
    def images(self) -> int:
        """Training images to see."""
        return int(self.values["train"]["images"])


def label(changes: Mapping[str, Any]) -> str:
    """Format changes as `train.lr=0.001 train.batch=64`; `current recipe` for none."""
    return " ".join(f"{key}={shown(value)}" for key, value in changes.items()) or "current recipe"


def short(changes: Mapping[str, Any]) -> str:
    """Format changes as `lr=0.001 batch=64`, with the section only where two keys have one name."""
    keys = [key.partition(".")[2] for key in changes]
    named = (key if keys.count(own) > 1 else own for key, own in zip(changes, keys, strict=True))
    return label(dict(zip(named, changes.values(), strict=True)))


def arguments(changes: Mapping[str, Any]) -> str:
    """Format changes as arguments of a command, quoted for a shell."""
    return " ".join(shlex.quote(f"{key}={shown(value)}") for key, value in changes.items())


def shown(value: Any) -> str:
    """Format a value as YAML in one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, list | tuple) else str(value)


def variants(assignments: Sequence[str]) -> list[dict[str, Any]]:
    """Parse `SECTION.KEY=VALUE[,VALUE...]` into the changes of each variant, the product of all lists of values.

    Values are YAML; `[...]` is one value. Raises ParamsError.
    """
    choices: dict[str, list[Any]] = {}
    for each in assignments:
        key, equals, text = each.partition("=")
        key = key.strip()
        if not equals or not re.fullmatch(r"[^.\s]+\.[^.\s]+", key):
            raise ParamsError(f"{terminal.field(each)} is not SECTION.KEY=VALUE, such as train.lr=0.001.")
        if key in choices:
            raise ParamsError(f"{terminal.field(key)} is set twice; list its values: {terminal.field(key)}=A,B.")
        found = yaml_file.parse(f"[{text}]", key)
        if not isinstance(found, list) or not found:
            raise ParamsError(f"{terminal.field(key)} has no value.")
        choices[key] = found
    made = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    if len(made) > MOST_TRIALS:
        raise ParamsError(f"these lists make {len(made):,} variants; at most {MOST_TRIALS} are tried at once.")
    return made if choices else []


def make(
    base: Mapping[str, Any], variants: Sequence[Mapping[str, Any]], *, seeds: int = 1, budget: float = 1.0
) -> list[Trial]:
    """Plan one trial for each variant and seed; the seeds count up from train.seed of the variant.

    base: params.yaml. Raises ParamsError, before any work, for a variant that is invalid, changes nothing, or equals
    another, and for files that it names and that are missing.
    """
    inputs, found = inputs_digest(), []
    for changes in variants:
        source = f"params.yaml with {label(changes)}" if changes else "params.yaml"
        values = config_changes.in_values(base, changes, source)
        params.parse(values, source).require_files()
        if changes and _shaping(values) == _shaping(base):
            raise ParamsError(f"{label(changes)} changes nothing: params.yaml has it already, or no stage uses it.")
        if budget != 1:
            values = budgeted(values, budget, source)
        first = values["train"]["seed"]
        for seed in range(first, first + seeds):
            own = config_changes.in_values(values, {"train.seed": seed}, source)
            found.append(_trial(changes, seed, budget, own, inputs, numbered=seed != first))
    names = [each.name for each in found]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise ParamsError(f"two variants are the same: {', '.join(twice)}.")
    return found


def budgeted(values: Mapping[str, Any], share: float, source: str) -> dict[str, Any]:
    """Scale the images to train on, and the lengths counted in them, to a share (above 0, at most 1).

    Images are rounded to whole batches, at least one; a length that was above 0 stays so. Raises ParamsError.
    """
    if not 0 < share <= 1:
        raise ParamsError(f"the budget {share:g} must be above 0 and at most 1.")
    train = values["train"]
    scaled: dict[str, Any] = {}
    for key in SCALED:
        value = train[key]
        if isinstance(value, int) and value > 0:
            scaled[f"train.{key}"] = max(1, round(share * value))
    batch = train["batch"]
    scaled["train.images"] = max(1, round(share * train["images"] / batch)) * batch
    scaled["train.warmup"] = min(scaled.get("train.warmup", 0), scaled["train.images"])
    made = config_changes.in_values(values, scaled, source)
    params.parse(made, f"{source}, at a budget of {share:g},")
    return made


def inputs_digest(folder: Path = Path()) -> str:
    """Compute the SHA-256 of what a trial's result depends on besides its parameters: code of the stages and data."""
    code = {path for stage in STAGES for path in fingerprint.code_of(stage)}
    tags = lineage(Changes(), folder)
    return files.sha256_json({"code": fingerprint.digest(code, PACKAGE), "data": tags["ddpm.data_hash"]})


def digest(values: Mapping[str, Any], inputs: str) -> str:
    """Compute the SHA-256 of all that affects a trial's result. inputs: as from `inputs_digest`."""
    return files.sha256_json({"params": _shaping(values), "inputs": inputs})


def _trial(
    changes: Mapping[str, Any], seed: int, budget: float, values: dict[str, Any], inputs: str, *, numbered: bool
) -> Trial:
    own = digest(values, inputs)
    parts = [*_slugs(changes), *([f"budget-{budget:g}"] if budget != 1 else [])]
    slug = "-".join(parts)[:LONGEST_SLUG].strip("-.") or "recipe"
    name = "-".join([slug, *([f"seed-{seed}"] if numbered else []), own[:6]])
    return Trial(name, dict(changes), seed, budget, values, own)


def _slugs(changes: Mapping[str, Any]) -> Iterator[str]:
    """Yield `lr-0.001` for train.lr = 0.001: characters that git, DVC and a shell take in a name."""
    for key, value in changes.items():
        text = re.sub(r"[^A-Za-z0-9.]+", "-", shown(value)).strip("-.")
        yield re.sub(r"\.{2,}", ".", f"{re.sub(r'[^A-Za-z0-9]+', '-', key.partition('.')[2])}-{text}")


def _shaping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Select the parameters that shape a result."""
    return {name: section for name, section in values.items() if name not in UNUSED}
