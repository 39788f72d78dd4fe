"""Archives as programs make and break them: which format, which names, and what is said of damage."""

import bz2
import contextlib
import gzip
import io
import lzma
import random
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm.data.entries import ENDINGS
from ddpm.data.errors import DataError
from ddpm.data.sources import find
from tests.support.imagefiles import encoded, zipped
from tests.support.preparing import run, written

Files = dict[str, bytes]


Write = Callable[[Files], Path]


APPLE = unicodedata.normalize("NFD", "\u00c4pfel")


def tarred(path: Path, files: Files, mode: str = "w", **options: object) -> Path:
    with tarfile.open(path, mode, **options) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


class Unflagged(zipfile.ZipInfo):
    """A member whose name is in an encoding that nothing tells of."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile calls it so
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


class OfDos(Unflagged):
    encoding = "cp437"


def odd_tree(good: Files) -> Files:
    """A folder as users have them: accents as on macOS, classes named like text files, thumbnails, backslashes."""
    names = [APPLE, "license", "100 m\u00b2", "C: drive", "readme.md", "a\\b"]
    files = {f"{names[index % 6]}/{index:03d}.png": content for index, content in enumerate(good.values())}
    junk = ["license/@eaDir/1.png/THUMB.png", "#recycle/2.png", ".cache/3.png", "._4.png", "Thumbs.db", "x/README.md"]
    return files | dict.fromkeys(junk, encoded(np.full((8, 8), 7, np.uint8)))


@pytest.mark.parametrize("seed", range(3))
def test_a_folder_and_every_archive_of_it_give_equal_bytes(
    seed: int, good: Files, folder: Write, tmp_path: Path
) -> None:
    """Each archive lists the same tree in an order of its own; one is as macOS makes it, one as Windows does."""
    files = odd_tree(good)
    names = list(files)
    random.Random(seed).shuffle(names)
    shuffled = {name: files[name] for name in names}
    made = [
        folder(files),
        zipped(tmp_path / "plain.zip", shuffled),
        tarred(tmp_path / "plain.tar", {f"./{name}": content for name, content in shuffled.items()}),
        tarred(tmp_path / "old.tgz", shuffled, "w:gz", format=tarfile.GNU_FORMAT),
        zipped(tmp_path / "windows.zip", {name.replace("/", "\\"): content for name, content in shuffled.items()}),
        zipped(tmp_path / "wrapped.zip", shuffled),
    ]
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        for name, content in shuffled.items():
            archive.writestr(Unflagged(unicodedata.normalize("NFD", name)), content)
            archive.writestr(Unflagged(f"__MACOSX/._{name.replace('/', '_')}"), b"fork")
    results = []
    for number, location in enumerate([*made, tmp_path / "mac.zip"]):
        run(location, tmp_path / f"out{number}")
        results.append(written(tmp_path / f"out{number}"))
    assert all("\u00c4pfel".encode() in results[0][name] for name in ("manifest.json", "images.jsonl"))
    assert all(result == results[0] for result in results)
    assert {note for location in made for note in find(location).notes()} == set(find(made[0]).notes())


def test_names_of_old_programs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dos.zip", "w") as archive:
        archive.writestr(OfDos("\u00c4pfel/1.png"), b"x")
    assert [entry.path for entry in find(tmp_path / "dos.zip").entries] == ["\u00c4pfel/1.png"]
    path = tarred(tmp_path / "old.tar", {"\u00c4pfel/1.png": b"x"}, format=tarfile.GNU_FORMAT, encoding="latin-1")
    source = find(path)
    assert [(entry.path, content) for entry, content in source.read()] == [("\u00c4pfel/1.png", b"x")]


def test_one_name_in_two_spellings_is_refused(folder: Write) -> None:
    with pytest.raises(DataError, match="twice"):
        find(folder({f"{APPLE}/1.png": b"x", "\u00c4pfel/1.png": b"y"}))


def test_system_folders_are_left_out_and_named_once(folder: Write) -> None:
    kept = ["license/1.png", "thumbs.db/1.png", "readme/2.png", "recycled/3.png", "@home/4.png"]
    junk = [
        "@eaDir/1.png/S.png", "a/#recycle/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png",
        "lost+found/1.png", "__pycache__/1.png", ".ipynb_checkpoints/1.png", ".AppleDouble/1.png", "_vti_cnf/1.png",
        "@Recycle/1.png", "._1.png", "a/.thumbnails/1.png", "__MACOSX/1.png",
    ]  # fmt: skip
    source = find(folder(dict.fromkeys([*kept, *junk], b"x")))
    assert [entry.path for entry in source.entries] == sorted(kept)
    (note,) = source.notes()
    assert "1 in @eaDir" in note
    assert "4 in hidden files" in note


REGISTERED = {
    ending: kind
    for ending, kind in Image.registered_extensions().items()
    if kind in {"PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "TIFF", "GIF"}
}


@pytest.mark.parametrize("ending", sorted({*ENDINGS, *REGISTERED}))
def test_every_ending_of_the_known_formats(ending: str, good: Files, folder: Write, tmp_path: Path) -> None:
    kind = REGISTERED.get(ending) or ENDINGS[ending]
    image = encoded(np.arange(64, dtype=np.uint8).reshape(8, 8), kind)
    location = folder(good | {f"a/x{ending.upper()}": image})
    assert run(location, tmp_path / "out")["count"] == 241


def inner_zip(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tar_that_ends_with_a_zip_is_a_tar(mode: str, tmp_path: Path) -> None:
    path = tarred(tmp_path / "data", {"a/1.png": b"one", "z.zip": inner_zip({"x/1.png": b"other"})}, mode)
    assert [entry.path for entry in find(path).entries] == ["a/1.png", "z.zip"]


def test_a_zip_behind_a_program_is_a_zip(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"MZ" + bytes(600) + inner_zip({"a/1.png": b"one"}))
    assert find(tmp_path / "data").kind == "zip"


@pytest.mark.parametrize(
    ("start", "name"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07\x00", "rar"), (b"\x28\xb5\x2f\xfd", "zstd")]
)
def test_archives_that_are_not_read_are_called_by_their_names(start: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(start + bytes(600))
    with pytest.raises(DataError, match=f"is a {name} archive"):
        find(tmp_path / "data")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_one_compressed_file_is_no_archive(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(compress(encoded(np.zeros((8, 8), np.uint8))))
    with pytest.raises(DataError, match="is not a readable tar archive"):
        find(tmp_path / "data")


def changed(whole: bytes, offset: int, new: bytes) -> bytes:
    return whole[:offset] + new + whole[offset + len(new) :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "a byte of the directory": lambda whole: changed(whole, whole.index(b"PK\1\2") + 1, b"X"),
    "a name's length": lambda whole: changed(whole, whole.index(b"PK\1\2") + 28, b"\xff\x0f"),
    "a short name's length": lambda whole: changed(whole, whole.index(b"PK\1\2") + 28, struct.pack("<H", 7 + 53)),
    "a version of the far future": lambda whole: changed(whole, whole.index(b"PK\1\2") + 6, b"\xff\x00"),
    "a part in several": lambda whole: changed(whole, whole.rindex(b"PK\5\6") + 4, b"\2\0\2\0"),
    "the last part of a split one": lambda whole: whole[len(whole) // 2 :],
    "the first part of a split one": lambda whole: b"PK\7\x08" + whole[: len(whole) // 2],
    "the first bytes lost": lambda whole: whole[1000:],
    "a middle part lost": lambda whole: whole[:2000] + whole[3000:],
    "the end lost": lambda whole: whole[:-10],
    "the number of files": lambda whole: changed(whole, whole.rindex(b"PK\5\6") + 10, b"\7\0"),
    "the size of the directory": lambda whole: changed(whole, whole.rindex(b"PK\5\6") + 12, b"\xff\xff\xff\x7f"),
    "the offset of the directory": lambda whole: changed(whole, whole.rindex(b"PK\5\6") + 16, b"\xff\xff\xff\x7f"),
    "the name in UTF-8 that is none": lambda whole: changed(
        changed(whole, whole.index(b"PK\1\2") + 46, b"\xff"), whole.index(b"PK\1\2") + 9, b"\x08"
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_zip_that_is_broken_is_refused_by_name(what: str, tmp_path: Path) -> None:
    whole = inner_zip({f"a/{index:02d}.png": random.Random(index).randbytes(300) for index in range(20)})
    (tmp_path / "set.zip").write_bytes(BROKEN[what](whole))
    with pytest.raises(DataError, match=r"set\.zip"):
        list(find(tmp_path / "set.zip").read())


@pytest.mark.parametrize("seed", range(40))
def test_any_damage_is_an_error_in_words_or_a_file_set_aside(seed: int, tmp_path: Path) -> None:
    """Bytes changed and cut anywhere: never another exception, never a smaller set without a word."""
    luck = random.Random(seed)
    files = {f"a/{index}.png": luck.randbytes(200) for index in range(12)}
    kind = luck.choice(["zip", "w", "w:gz", "w:xz", "w:bz2"])
    path = zipped(tmp_path / "data", files) if kind == "zip" else tarred(tmp_path / "data", files, kind)
    content = bytearray(path.read_bytes())
    for _ in range(luck.randint(1, 3)):
        content[luck.randrange(len(content))] = luck.randrange(256)
    path.write_bytes(content[: luck.choice([len(content), luck.randrange(len(content))])])
    with contextlib.suppress(DataError):
        assert len(dict(find(path).read())) == len(files)


@pytest.mark.parametrize(("offset", "value", "told"), [(8, b"\1", "password"), (10, b"\x5d", "zstd")])
def test_a_zip_of_which_nothing_can_be_read_is_refused_as_a_whole(
    offset: int, value: bytes, told: str, tmp_path: Path
) -> None:
    content = inner_zip({f"a/{index}.png": b"x" for index in range(5)})
    at = -1
    while (at := content.find(b"PK\1\2", at + 1)) >= 0:
        content = changed(content, at + offset, value)
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=told):
        find(tmp_path / "set.zip")
