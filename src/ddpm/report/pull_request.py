"""The report as Markdown for a pull request: verdict, facts, scores, data and commands.

All text that others may have written is escaped: no markup, links, mentions or HTML.
"""

from collections.abc import Iterable, Sequence

from ddpm.common.markdown import escape
from ddpm.report.page import Page
from ddpm.report.scores import Line


def write(page: Page) -> str:
    """Write the page as Markdown."""
    top = page.headline
    warnings = [f"> **Warning:** {escape(each)}" for each in top.warnings]
    parts = [
        f"## {escape(top.title)}: {_lower(escape(top.verdict))}",
        escape(top.reasons),
        *warnings,
        _facts(page),
        "### Scores",
        *map(escape, page.scores.notes),
        _scores(page),
        *_drift(page),
        "### Commands",
        _table(("", "command"), ((escape(name), _code(command)) for name, command in page.commands)),
        *([f"> {escape(page.caveat)}"] if page.caveat else []),
        _folded("Conditions of the scores", [(escape(key), _code(value)) for key, value in page.conditions.items()]),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(page: Page) -> str:
    """List the facts; those with a page are links."""
    shown = (
        f"[{escape(fact.value)}](<{_link(fact.address)}>)" if fact.address else escape(fact.value)
        for fact in page.facts
    )
    return "\n".join(f"- {escape(fact.name)}: {text}" for fact, text in zip(page.facts, shown, strict=True))


def _link(address: str) -> str:
    """Encode what could end the address of a link."""
    return "".join(f"%{ord(each):02X}" if each in " <>\\\r\n\t" else each for each in address)


def _scores(page: Page) -> str:
    """Make the table of scores, without columns that are empty."""
    table = page.scores
    limited = any(line.limit for line in table.lines)
    compared = (table.champion, "change") if table.champion else ()
    header = ("score", table.model, *compared, "real images", *(("limit", "kept") if limited else ()))
    return _table(map(escape, header), (_row(line, bool(compared), limited) for line in table.lines))


def _row(line: Line, compared: bool, limited: bool) -> Sequence[str]:
    name = f"{escape(line.name)} {line.arrow}"
    value = f"**{line.value}** {line.spread}".rstrip()
    champion = (line.champion, line.change) if compared else ()
    limit = (escape(line.limit), f"**{line.kept}**" if line.kept == "no" else line.kept) if limited else ()
    return (name, value, *champion, line.real, *limit)


def _drift(page: Page) -> list[str]:
    """Describe how the data differ from the champion's."""
    if page.drift is None:
        return ["### Data", "These data have not been compared with a champion's."]
    lines = [page.drift.summary, *page.drift.lines]
    return ["### Data", "\n".join(f"- {escape(each)}" for each in lines if each)]


def _folded(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return f"<details><summary>{title}</summary>\n\n{_table(('condition', 'value'), rows)}\n\n</details>"


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = tuple(header)
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def _code(text: str) -> str:
    """Format a command or value as code; one that cannot stand between backticks is escaped."""
    shown = escape(text)
    plain = not set(text) & set("`|\\<>") and text.strip() and text.isprintable()
    return f"`{text}`" if plain else shown


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"
