"""Labels in `dataset.json`, as the tools of StyleGAN and EDM write them: `{"labels": [["00000/img0.png", 6], ...]}`."""

import json
import unicodedata
from pathlib import PurePosixPath
from typing import Any

Table = dict[str, str | None]
"""Class name by image path; None: no class. Empty if the file declares that there are no labels."""


def parse(path: str, content: bytes) -> Table | None:
    """Parse the labels in the file at `path` of a source; None for a file of another kind."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    rows = value.get("labels", ()) if isinstance(value, dict) else ()
    if rows is None:
        return {}
    if not isinstance(rows, list) or not rows or not all(_is_row(row) for row in rows):
        return None
    folder = PurePosixPath(path).parent
    return {str(folder / _composed(name)): _name(label) for name, label in rows}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)


def _composed(name: str) -> str:
    """Normalise a name as `entries.inner_path` does."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _name(label: Any) -> str | None:
    """Name a class by a number, a valid folder name, or the index of the 1 in a one-hot vector; else None."""
    if isinstance(label, list) and label and all(item in (0, 1) for item in label) and sum(label) == 1:
        return str(label.index(1))
    if isinstance(label, str):
        return label if label.isprintable() and label.strip(". ") and "/" not in label else None
    return str(label) if isinstance(label, int) and not isinstance(label, bool) else None
