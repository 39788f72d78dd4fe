"""Terminal output: control characters are escaped, and a single module prints everything."""

import ast
import io
import sys
import unicodedata
from pathlib import Path

import pytest

from ddpm.common import terminal

ROOT = Path(__file__).parents[3]
PRINTS = {
    # who else prints, and why
    "src/ddpm/common/terminal.py": "the module itself",
    "src/ddpm/common/progress.py": "counts of its own",
    "src/ddpm/serving/clean_process.py": "one JSON line for its parent; nothing of the project is importable there",
}


def test_whatever_steers_is_spelled_out_and_all_else_is_left() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        safe = unicodedata.category(character)[0] in "LMNPS" or unicodedata.category(character) == "Zs"
        assert (terminal.plain(character) == character) == safe, hex(number)
    assert terminal.plain("a\nb\x1b[2J\u202e\udcff") == "a\\nb\\x1b[2J\\u202e\\udcff"
    assert terminal.plain("naïve 猫 😀\u3000") == "naïve 猫 😀\u3000"


def test_long_lines_and_messages_are_cut_and_say_so() -> None:
    assert terminal.plain("x" * 5000).endswith("x... (5,000 characters)")
    assert len(terminal.message("\n" * 100_000).splitlines()) == terminal.MOST_LINES + 1
    assert terminal.message("a\n" * 1000).endswith("more lines")


def test_a_message_of_several_lines_cannot_pretend_to_be_another() -> None:
    assert terminal.message("first\nerror: x\n  kept\r\n\n\tz") == "first\n  error: x\n  kept\n\n    z"
    assert terminal.message(terminal.message("a\nb")) == "a\n  b"


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo("a\nb", 3)
    terminal.error("wrong\nhttps://me:secret@h")
    printed = capsys.readouterr()
    assert printed.out == "a\\nb\n3\n"
    assert printed.err == "error: wrong\n  https://h\n"


def test_json_is_ascii_and_free_of_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo_json({"a": "\u202e\x9b", "b": "https://h/x?sig=secret"})
    assert capsys.readouterr().out == '{"a": "\\u202e\\u009b", "b": "https://h/x?sig=..."}\n'


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_of_another_encoding_gets_what_it_can_show(encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    terminal.echo("naïve 猫", file=file)
    file.flush()
    assert raw.getvalue().decode(encoding) == ("na\\xefve \\u732b\n" if encoding == "ascii" else "naïve \\u732b\n")


def test_nothing_else_prints() -> None:
    found = []
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if name not in PRINTS and isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"}:
                    found.append(f"{name}:{node.lineno}: {called}")
    assert not found, f"print through ddpm.common.terminal: {found}"


def test_what_rich_prints_has_no_markup() -> None:
    """Strings that are handed to `print` of a console, or to a row of a table, would be read as markup."""
    found = []
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                prints = node.func.attr == "add_row" or ast.unparse(node.func).lower().endswith("console.print")
                if prints and any(isinstance(each, ast.JoinedStr) for each in node.args):
                    found.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.keyword) and node.arg == "markup":
                assert ast.unparse(node.value) == "False", path
    assert not found, f"use rich.text.Text: {found}"
