"""Tables that fit the terminal: in a narrow one, columns are shortened and then left out in a fixed order."""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddpm.common import terminal

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2
"""Blanks between columns."""
NARROWEST = 20
"""Characters of a wrapped text, in the narrowest terminal."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    forms: the cells at full length, then ever shorter ones; a line break in a cell begins a new line there. required:
    whether the column stays in any terminal. minimum: characters that a column of free text needs, which wraps at
    words; 0 for a column as wide as its longest line.
    """

    forms: tuple[Sequence[str], ...]
    required: bool = False
    minimum: int = 0

    def width(self, heading: str, form: int) -> int:
        """Return the characters that a form needs."""
        from rich.cells import cell_len

        longest = max(cell_len(line) for cell in (heading, *self.forms[form]) for line in cell.split("\n"))
        return min(longest, self.minimum) if self.minimum else longest


def chosen_forms(columns: Mapping[str, Column], narrowing: Sequence[str], width: int) -> dict[str, int]:
    """Choose the form of each column, by heading, for a terminal of `width` characters; omitted columns are missing.

    narrowing: headings, each naming one step: its next shorter form, or without one its omission. Steps are taken in
    order until the table fits. Columns without any text are always omitted.
    """
    forms = {name: 0 for name, each in columns.items() if each.required or any(each.forms[0])}
    steps = iter(narrowing)
    while sum(columns[name].width(name, form) + GAP for name, form in forms.items()) - GAP > width:
        if (name := next(steps, None)) is None:
            break
        if name not in forms:
            continue
        if forms[name] + 1 < len(columns[name].forms):
            forms[name] += 1
        elif not columns[name].required:
            del forms[name]
    return forms


def hanging(heading: str, text: object) -> str:
    """Return a text beside its heading, without secrets, wrapped at the terminal's width; whole lines in a pipe."""
    from rich.cells import cell_len

    width = shutil.get_terminal_size((0, 0)).columns
    lines = terminal.message(text).split("\n")
    if width:
        room = max(width - cell_len(heading), NARROWEST)
        lines = [part for line in lines for part in textwrap.wrap(line, room, break_on_hyphens=False) or [""]]
    return heading + f"\n{' ' * cell_len(heading)}".join(lines)


def show(
    console: "Console", columns: Mapping[str, Column], narrowing: Sequence[str], bold: Sequence[int] = ()
) -> list[str]:
    """Print a table as wide as the console at most; return the headings of the columns that did not fit.

    bold: indices of rows to emphasise.
    """
    from rich.table import Table
    from rich.text import Text

    forms = chosen_forms(columns, narrowing, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for name in forms:
        table.add_column(name, overflow="fold", no_wrap=not columns[name].minimum)
    for index, row in enumerate(zip(*(columns[name].forms[form] for name, form in forms.items()), strict=True)):
        cells = ("\n".join(map(terminal.field, cell.split("\n"))) for cell in row)
        table.add_row(*map(Text, cells), style="bold" if index in bold else "")
    console.print(table)
    return [name for name, each in columns.items() if name not in forms and any(each.forms[0])]
