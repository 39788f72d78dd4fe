"""Columns that are shortened and omitted by the width of the terminal."""

import io

import pytest
from rich.console import Console

from ddpm.cli.tables import Column, chosen_forms, hanging, show

COLUMNS = {
    "name": Column((["alpha", "beta"],), required=True),
    "date": Column((["2026-01-01 10:00", "2026-01-02 11:00"], ["2026-01-01", "2026-01-02"])),
    "code": Column((["01234567", "89abcdef"],)),
    "none": Column((["", ""],)),
    "why": Column((["because it is better", "no"],), required=True, minimum=8),
}
NARROWING = ("date", "code", "date")


@pytest.mark.parametrize(
    ("width", "forms"),
    [
        (43, {"name": 0, "date": 0, "code": 0, "why": 0}),  # 5 + 16 + 8 + 8 and three gaps
        (42, {"name": 0, "date": 1, "code": 0, "why": 0}),
        (37, {"name": 0, "date": 1, "code": 0, "why": 0}),
        (36, {"name": 0, "date": 1, "why": 0}),
        (26, {"name": 0, "why": 0}),
        (3, {"name": 0, "why": 0}),
    ],
)
def test_steps_are_taken_in_order_until_the_table_fits(width: int, forms: dict[str, int]) -> None:
    assert chosen_forms(COLUMNS, NARROWING, width) == forms


def test_no_line_is_wider_than_the_console_and_only_free_text_is_broken() -> None:
    out = io.StringIO()
    missing = show(Console(file=out, width=37), COLUMNS, NARROWING)
    assert missing == []
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 37
    assert [line.split()[:3] for line in lines if line[:1].strip()] == [
        ["name", "date", "code"], ["alpha", "2026-01-01", "01234567"], ["beta", "2026-01-02", "89abcdef"],
    ]  # fmt: skip
    assert " ".join(line[27:].strip() for line in lines[1:4]) == "because it is better"
    assert show(Console(file=out, width=20), COLUMNS, NARROWING) == ["date", "code"]


def test_cells_are_text_without_markup_or_control_characters() -> None:
    out = io.StringIO()
    show(Console(file=out, width=40), {"name": Column((["[bold]a\x1b[31m"],), required=True)}, ())
    assert "[bold]a\\x1b[31m" in out.getvalue()


def test_a_text_wraps_beside_its_heading_and_is_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"one of two lines, as wide as it is, and a hash: {'ab' * 32}\nthe second"
    monkeypatch.setenv("COLUMNS", "60")
    lines = hanging("heading            ", text).split("\n")
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("heading            one of two lines")
    assert all(line.startswith(" " * 19) for line in lines[1:])
    assert "".join(line[19:].strip() for line in lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    monkeypatch.delenv("COLUMNS")
    assert hanging("heading ", "word " * 100) == "heading " + "word " * 100
