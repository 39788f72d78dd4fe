"""Messages about invalid and missing parameters."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ddpm.common import yaml_file


def message(problem: Any, root: type[BaseModel]) -> str:
    """Format a pydantic error as one line: key, value, limit, and the nearest valid name of a misspelt key."""
    keys, section = _place(problem["loc"], root)
    key = ".".join(_printable(each) for each in keys)
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a parameter; {_nearest(keys[-1], list(section.model_fields))}"
    if problem["type"] == "value_error":
        return f"{key + ': ' if key else ''}{problem['ctx']['error']}"
    if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        kinds = list(_kinds(section.model_fields[keys[-1]]))
        key += "." + problem["ctx"]["discriminator"].strip("'")
        if problem["type"] == "union_tag_not_found":
            return f"{key} is missing; possible: {', '.join(kinds)}"
        tag = problem["ctx"]["tag"]
        return f"{key} = {yaml_file.short_repr(tag)} is unknown; {_nearest(tag, kinds)}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{key} = {yaml_file.short_repr(problem['input'])}: {message}"


def missing(value: Mapping[str, Any], root: type[BaseModel]) -> Iterator[str]:
    """Yield a line for each missing section, and each missing key with its default."""
    for name, field in root.model_fields.items():
        if name not in value:
            yield f"{name} is missing"
            continue
        section, keys = field.annotation, value[name]
        if field.discriminator and isinstance(keys, dict):
            section = _kinds(field).get(str(keys.get(str(field.discriminator))))
        if not isinstance(keys, dict) or not _is_section(section):
            continue  # an error of pydantic
        for key, each in section.model_fields.items():
            if key not in keys:
                yield f"{name}.{key} is missing; its default is {yaml_file.short_repr(each.default)}"


def _printable(key: str) -> str:
    """Format a key of the user's file for a message."""
    return key if key.isprintable() and len(key) <= yaml_file.SHOWN else yaml_file.short_repr(key)


def _nearest(name: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(name[: yaml_file.SHOWN], valid, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"valid: {', '.join(valid)}"


def _place(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """The keys down to a problem as the file has them, and the section that the last one is in.

    Where a section has several kinds, pydantic puts the kind, which is not a key, after the section's key.
    """
    keys: list[str] = []
    within: type[BaseModel] = root
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
    """Return the kinds of a section by the value of their discriminating key."""
    members = get_args(field.annotation)
    return {kind: each for each in members for kind in get_args(each.model_fields[field.discriminator].annotation)}
