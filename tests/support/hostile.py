"""Text as somebody else may write it into any field, and what no output may do with it."""

import re
from html.parser import HTMLParser

PARTS = {
    "markup of rich": "[/red] [bold]loud[/bold] :warning:",
    "an escape sequence": "\x1b[2J\x1b]0;owned\x07 \x9b2J",
    "a line of its own": "end\r\nerror: everything is lost",
    "line separators": "a\u2028error: everything is lost\u0085error: everything is lost",
    "bidi controls": "\u202egnp.exe\u2066",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'",
    "Markdown": "![x](https://evil.example/x.png) [x](javascript:alert(1)) `a` **b** | c |",
    "a formula": "$\\frac$ a$_$b =HYPERLINK(1)",
    "a path": "../../../../escaped",
    "a secret": "postgresql://u:SECRET/1@h/db https://h/x?sig=SECRET&a=1",
}
TEXT = " ".join(PARTS.values())
STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def lines(text: str) -> None:
    """Text on a terminal or in a log: no control sequence, no forged line, no secret."""
    assert not STEERS.search(text), f"{STEERS.search(text)} in {text!r}"
    assert not re.search(r"^error: everything", text, re.MULTILINE), text
    assert "SECRET" not in text, text


def html(text: str) -> None:
    """A page."""
    for wrong in ("<script>alert", "<img src=x", "SECRET", "\x1b", "\x9b", "\u202e", "\u2066"):
        assert wrong not in text, wrong
    Page().feed(text)


class Page(HTMLParser):
    """Refuses what no page of ours has."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs if name.startswith("on")]
        assert tag != "script"
        assert not names, tag


def markdown(text: str, rows: int) -> None:
    """Markdown that had `rows` lines before anything hostile was in it."""
    lines(text)
    assert len(text.splitlines()) == rows, text
    assert not re.search(r"(?<!\\)(!\[|\]\(j|<\w|<!|\*\*b|`a)", text), text
