"""Rendering of a complete, commented params.yaml: keys, order, comments and ranges come from the sections' fields."""

import io
import re
from collections.abc import Sequence
from functools import cache
from inspect import get_annotations
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from ddpm.common import yaml_file
from ddpm.config.params import Params
from ddpm.config.sections import Section
from ddpm.sampling.options import LARGEST_SHOWN

COLUMN = 28
LIMITS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
"""Text for the limits of JSON Schema."""


def text(params: Params, header: Sequence[str]) -> str:
    """Render the complete file. header: its initial comment lines, without `#`."""
    parts = ["".join(f"# {line}".rstrip() + "\n" for line in header)]
    for name, section in params:
        parts.append(_dumped(CommentedMap({name: _mapping(section)})))
    return "\n".join(parts)


def with_section(text: str, name: str, section: Section) -> str:
    """Replace a section of a params file by another one with its comments; the rest stays as it is."""
    yaml = yaml_file.writer()
    document = yaml.load(text)  # ruamel's round trip: constructs no objects from tags
    document[name] = _mapping(section)
    return re.sub(r"(?<!\n)\n(?=\w+:\n)", "\n\n", _dumped(document))  # the empty line was part of the old section


def comment(section: type[Section], name: str) -> str:
    """Build the comment of a key: its description, then choices that it does not mention, or the range."""
    schema = _properties(section)[name]
    description, null, rest = str(schema["description"]).partition("; null: ")
    choices = [str(each) for each in schema.get("enum", [schema["const"]] if "const" in schema else [])]
    if not all(re.search(rf"(?<![\w-]){re.escape(each)}(?![\w+-])", description) for each in choices):
        description += f": {', '.join(choices)}"
    return description + _range(schema) + null + rest


@cache
def _properties(section: type[Section]) -> dict[str, Any]:
    found: dict[str, Any] = section.model_json_schema()["properties"]
    return found


def _range(schema: dict[str, Any]) -> str:
    """Format the range in parentheses, after a space; empty if the upper limit is missing or only a guard."""
    kinds: list[dict[str, Any]] = [schema, *schema.get("anyOf", ())]
    limits = next((each for each in kinds if each.keys() & {"maximum", "exclusiveMaximum"}), {})
    if limits.get("maximum", limits.get("exclusiveMaximum", LARGEST_SHOWN)) >= LARGEST_SHOWN:
        return ""
    if limits.keys() >= {"minimum", "maximum"}:
        words = [f"{limits['minimum']:g} to {limits['maximum']:g}"]
    else:
        words = [f"{word} {limits[key]:g}" for key, word in LIMITS.items() if key in limits]
    if "multipleOf" in limits:
        words.append(f"a multiple of {limits['multipleOf']}")
    return f" ({', '.join(words)})"


def _mapping(section: Section) -> CommentedMap:
    found = CommentedMap()
    for key in _ordered(type(section)):
        found[key] = _node(getattr(section, key))
        found.yaml_add_eol_comment(comment(type(section), key), key, column=COLUMN)
    return found


def _ordered(section: type[Section]) -> list[str]:
    """List the keys of a section: its own before those shared with other kinds."""
    found = (name for base in section.__mro__ for name in get_annotations(base) if name in section.model_fields)
    return list(dict.fromkeys(found))


def _node(value: Any) -> Any:
    if isinstance(value, tuple):
        return CommentedSeq(map(_node, value))
    return value


def _dumped(document: CommentedMap) -> str:
    buffer = io.StringIO()
    yaml_file.writer().dump(document, buffer)
    return buffer.getvalue()
