"""Escape untrusted text for Markdown: no markup, links or HTML."""

import re

from ddpm.common.terminal import field

SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#~!&$@]|(?<=[A-Za-z]):(?=//)|(?<=www)\.")
FIRST = re.compile(r"^(\s*)(?:([-+=])|(\d+)([.)]))")
"""The start of a line that would make a list, a heading or a rule."""


def escape(value: object) -> str:
    """Escape a value to one line without markup.

    `<`, `>` and `&` become entities, because not all renderers accept a backslash before them.
    """
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    line = SPECIAL.sub(lambda found: entities.get(found[0], f"\\{found[0]}"), field(value))
    return FIRST.sub(lambda found: f"{found[1]}{found[3] or ''}\\{found[2] or found[4]}", line)
