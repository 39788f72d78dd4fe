"""Folders and archives: what is taken, what is passed over, and what is refused before anything is read."""

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.data.errors import DataError
from ddpm.data.sources import class_names, find

Write = Callable[[dict[str, bytes]], Path]


def tarred(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_what_accompanies_images_is_passed_over(folder: Write) -> None:
    names = [
        "a/1.png",
        "README.md",
        "ATTRIBUTION.txt",
        "licence",
        "a/.DS_Store",
        "Thumbs.db",
        "__MACOSX/a/1.png",
        ".x/2.png",
    ]
    source = find(folder(dict.fromkeys(names, b"x")))
    assert [entry.path for entry in source.entries] == ["a/1.png"]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.xz"])
def test_archives_hold_the_same_entries_as_the_folder(ending: str, folder: Write, tmp_path: Path) -> None:
    files = {f"{name}/{index}.png": bytes([index]) * index for name in "ab" for index in range(1, 6)}
    path = tmp_path / f"images.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in reversed(files):
                archive.writestr(name, files[name])
    else:
        mode = "w:" + ending.removeprefix("tar").removeprefix(".")
        tarred(path, [(member(f"./{name}"), files[name]) for name in reversed(files)], mode)
    expected = find(folder(files))
    found = find(path)
    assert found.entries == expected.entries
    assert {entry.path: content for entry, content in found.read()} == files
    alone = tmp_path / "alone"
    alone.mkdir()
    path.rename(alone / path.name)
    (alone / "README.txt").write_text("about")
    assert find(alone).entries == expected.entries  # one archive in a folder
    (alone / path.name).rename(tmp_path / "data")
    assert find(tmp_path / "data").entries == expected.entries  # as DVC names it


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/1.png", "b/2.png"], ["a", "b"]),
        (["set/a/1.png", "set/b/x/2.png"], ["a", "b"]),
        (["1.png", "2.png"], [None, None]),
        (["photos/1.png", "photos/2.png"], [None, None]),
        (["a/1.png", "2.png"], ["a", None]),
        (["photos/a/1.png", "photos/2.png"], ["a", None]),
    ],
)
def test_classes_are_the_first_folders_that_differ(paths: list[str], expected: list[str | None]) -> None:
    assert class_names(paths) == expected


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:/a.png", "a\\..\\b.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_of_an_archive(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"images.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ok/1.png", b"x")
            archive.writestr(name, b"x")
    else:
        tarred(path, [(member("ok/1.png"), b"x"), (member(name), b"x")])
    with pytest.raises(DataError, match="leads out of the archive") as error:
        find(path)
    assert str(path) in str(error.value)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(kind: bytes, tmp_path: Path) -> None:
    path = tarred(tmp_path / "images.tar", [(member("a.png", kind, "b.png"), b""), (member("b.png"), b"x")])
    with pytest.raises(DataError, match=r"'a\.png' is a link or a device"):
        find(path)


def test_links_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match=r"'a\.png' is a link or a device"):
        find(tmp_path / "images.zip")


def test_links_in_a_folder(folder: Write, tmp_path: Path) -> None:
    root = folder({"a/1.png": b"x", "b/2.png": b"y"})
    (root / "a" / "same.png").symlink_to(root / "a" / "1.png")
    assert len(find(root).entries) == 3
    (tmp_path / "secret.png").write_bytes(b"z")
    (root / "b" / "out.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"out\.png is a link that leads out of the folder"):
        find(root)
    (root / "b" / "out.png").unlink()
    (root / "again").symlink_to(root / "a")
    with pytest.raises(DataError, match="link to a folder"):
        find(root)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_a_truncated_archive_never_passes_as_a_smaller_one(ending: str, cut: float, tmp_path: Path) -> None:
    files = [(f"a/{index}.png", random.Random(index).randbytes(700)) for index in range(20)]
    path = tmp_path / f"images.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files:
                archive.writestr(name, content)
        whole = path.read_bytes()
    else:
        tarred(path, [(member(name), content) for name, content in files], "w:" + ending.removeprefix("tar").strip("."))
        whole = path.read_bytes()
        if ending == "tar":
            whole = whole.rstrip(b"\0")
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(DataError, match=str(path)):
        list(find(path).read())


def test_a_tar_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", [(member(f"{index}.png"), b"x" * 512) for index in range(3)])
    path.write_bytes(path.read_bytes()[: 2 * 1024])
    with pytest.raises(DataError, match="cut off"):
        find(path)


def test_a_damaged_or_protected_member_of_a_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.png", b"one" * 50)
        archive.writestr("a/2.png", b"two" * 50)
    content = bytearray(path.read_bytes())
    content[content.index(b"onetwo"[:3] * 3) + 4] ^= 0xFF
    path.write_bytes(content)
    read = {entry.path: found for entry, found in find(path).read()}
    assert "damaged" in str(read["a/1.png"])
    assert read["a/2.png"] == b"two" * 50
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1  # "encrypted"
    path.write_bytes(content)
    assert "protected" in str({entry.path: found for entry, found in find(path).read()}["a/1.png"])


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "images.tar", [(member("a.png"), b"x"), (member("./a.png"), b"y")])
    with pytest.raises(DataError, match=r"has a\.png twice"):
        find(path)


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpm.data.archives.MAX_ARCHIVE_BYTES", 1000)
    path = tarred(tmp_path / "images.tar.gz", [(member("a.png"), bytes(2000))], "w:gz")
    with pytest.raises(DataError, match="decompression bomb"):
        find(path)


def test_a_file_that_is_too_large_is_set_aside(folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpm.data.entries.MAX_FILE_BYTES", 1000)
    (_, found), (_, small) = find(folder({"a.png": bytes(1001), "b.png": bytes(1000)})).read()
    assert "larger than" in str(found)
    assert small == bytes(1000)


def test_nothing_an_archive_beside_images_and_no_archive_at_all(folder: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist.*dvc pull data\.dvc"):
        find(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images in it.*\.png"):
        find(tmp_path / "empty")
    page = tmp_path / "page"
    page.write_text("<html>Index of /images</html>")
    with pytest.raises(DataError, match="neither a folder nor a readable zip or tar archive"):
        find(page)
    page.write_bytes(b"")
    with pytest.raises(DataError, match="neither a folder nor a readable zip or tar archive"):
        find(page)
    root = folder({"a/1.png": b"x", "more.zip": b"y"})
    with pytest.raises(DataError, match="has an archive and other files"):
        find(root)


def test_a_name_that_is_not_utf_8(folder: Write) -> None:
    root = folder({"a/1.png": b"x"})
    (root / "a" / "\udcff.png").write_bytes(b"x")
    with pytest.raises(DataError, match="not valid UTF-8"):
        find(root)
