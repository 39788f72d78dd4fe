"""A file that cannot be read is one ParamsError of a sentence or two, in bounded time; nothing in it is ever run."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.cli import edit
from ddpm.common import yaml_file
from ddpm.config import params

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "params.yaml").read_text()
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (TEXT.encode("utf-16"), "save it as plain UTF-8"),
        (TEXT.encode("utf-16-le"), "save it as plain UTF-8"),
        (TEXT.encode("utf-8-sig"), "byte order mark"),
        ("# à la carte\n".encode("latin-1"), "line 1 has the byte 0xe0"),
        (b"a: 1\nb: \xff\n", "line 2 has the byte 0xff"),
        (b"a:\t1", "line 1, column 3: found character"),
        (b"a: 1\na: 2", "line 2, column 1: found duplicate key"),
        (b"a: [1", "line 1, column 6"),
        (b"a: 1\n---\nb: 2", "another document"),
        (b"train: " + b"[" * 10_000, "nested more than 32 deep"),
        (b"- " * 10_000, "nested more than 32 deep"),
        (b"a: &a [*a]", r"\*a in line 1 refers to a value that contains it"),
        (b"a: &a {b: [1, *a]}", "refers to a value that contains it"),
        (b"a: *nobody", "undefined alias"),
        (LAUGHS.encode(), "expands to more than 20,000 values"),
        (b"seed: " + b"9" * 100_000, "number of more than 400 digits"),
        (b"seed: -0x" + b"f" * 100_000, "number of more than 400 digits"),
        (b"seed: 010", "the number 010, which some programs read as octal"),
        (b"1: 2", "the key 1 is not text"),
        (b"a: {null: 2}", "the key None is not text"),
        (b"a: {2020-01-01: 2}", "is not text"),
        (b"a: 2020-99-99", "month must be in"),
        (b"a: !!binary x", "base64"),
        (b"a: !!int x", "invalid literal"),
        (b"a: !!bool maybe", "not valid YAML"),
        (b"a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        (b"a: \x07", "special characters"),
        (b"# " + b"x" * 2**20, "bytes; at most"),
    ],
)
def test_what_is_no_file_of_parameters_is_one_sentence(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(params.ParamsError, match=told) as error:
        params.load(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["2020-01-01", "!!binary aGk=", "!!set {a}", "0x10", "[1]", "{a: 1}", "10", "true"])
def test_another_type_than_text_is_refused_where_text_is_asked_for(value: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("optimizer: muon ", f"optimizer: {value} "))
    with pytest.raises(params.ParamsError, match=r"train\.optimizer = "):
        params.load(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(params.ParamsError, match="cannot be read: Is a directory"):
        params.load(tmp_path)


def test_anchors_that_end_are_read_as_ever() -> None:
    text = "a: &a {x: [1, 2]}\nb: {<<: *a, y: 3}\nc: [*a, *a]"
    one = {"x": [1, 2]}
    assert yaml_file.parse(text, "text") == {"a": one, "b": {"x": [1, 2], "y": 3}, "c": [one, one]}


ODD = (
    "null", "[]", "{}", "-1", "0", "1e400", ".nan", "1" + "0" * 500, "010", "2020-01-01", "12:30", "!!binary aGk=",
    "!!set {a}", "&x y", "*x", "&z [*z]", '"\\0"', '"\\ud800"', '"\\e[31m"', "\t1", "%", "`", "? a", ": b", "- a",
    "!!int x", "<<", "''", "18446744073709551616", "{1: 2}", "[[[[", "}", "auto", "!<x> 1", "|", "'",
)  # fmt: skip


def a_value(lines: list[str], chance: random.Random) -> bytes:
    place = chance.choice([number for number, line in enumerate(lines) if ":" in line and line[:1] != "#"])
    lines[place] = f"{lines[place].split(':')[0]}: {chance.choice(ODD)}"
    return "\n".join(lines).encode()


def a_line_less(lines: list[str], chance: random.Random) -> bytes:
    del lines[chance.randrange(len(lines))]
    return "\n".join(lines).encode()


def bytes_changed(lines: list[str], chance: random.Random) -> bytes:
    content = bytearray("\n".join(lines).encode())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def marks_put_in(lines: list[str], chance: random.Random) -> bytes:
    text = "\n".join(lines)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(text))
        text = (
            text[:place]
            + chance.choice(["[", "}", ": ", "&a ", "*a ", "!", "\t", '"', "#", "\x85", "<<: "])
            + text[place:]
        )
    return text.encode()


@pytest.mark.parametrize("change", [a_value, a_line_less, bytes_changed, marks_put_in], ids=lambda each: each.__name__)
def test_whatever_a_file_holds_it_is_valid_or_refused(
    change: Callable[[list[str], random.Random], bytes], tmp_path: Path
) -> None:
    """Never another exception, and a message that can be shown."""
    chance, path = random.Random(change.__name__), tmp_path / "params.yaml"
    refused = 0
    for _ in range(25):
        path.write_bytes(change(TEXT.splitlines(), chance))
        told = ""
        try:
            params.load(path).missing_files()
            edit.flat(params.read_yaml(path))
        except params.ParamsError as error:
            told = str(error)
        refused += bool(told)
        assert all(line.isprintable() for line in told.splitlines()), told
        assert len(told) < 10_000
    assert refused
