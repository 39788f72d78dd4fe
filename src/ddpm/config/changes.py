"""Changes of single parameters: in plain values, and in the text of a params file without losing comments."""

import copy
import io
from collections.abc import Mapping
from typing import Any

from ddpm.common import yaml_file
from ddpm.common.yaml_file import ParamsError


def in_values(values: Mapping[str, Any], changes: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the sections with some keys (`train.lr`) changed. Raises ParamsError for a section that is not a mapping.

    source: name of the parameters in the message.
    """
    made = copy.deepcopy(dict(values))
    for key, value in changes.items():
        section, _, name = key.partition(".")
        keys = made.setdefault(section, {})
        if not isinstance(keys, dict):
            raise ParamsError(f"{source} is not valid: {section} must be a mapping.")
        keys[name] = value
    return made


def in_text(text: str, changes: Mapping[str, Any]) -> str:
    """Change some keys (`train.lr`) of a YAML text; comments, order and layout stay."""
    yaml = yaml_file.writer()
    document = yaml.load(text)  # ruamel's round trip: constructs no objects from tags
    for key, value in changes.items():
        section, name = key.split(".")
        if isinstance(value, list | tuple):
            document[section][name] = yaml.seq(value)
        else:
            document[section][name] = value
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()
