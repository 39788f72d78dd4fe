"""Files and folders that are replaced: with the permissions of what was there, or those that the umask leaves."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpm.common import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o077, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_new_files_and_folders_follow_the_umask(tmp_path: Path, umask: int) -> None:
    files.write_text(tmp_path / "deep/new", "x")
    with files.fresh_folder(tmp_path / "folder") as new:
        files.write_text(new / "inside", "x")
        assert mode(new) == 0o777 & ~umask
    assert mode(tmp_path / "deep/new") == mode(tmp_path / "folder/inside") == 0o666 & ~umask
    assert mode(tmp_path / "deep") == mode(tmp_path / "folder") == 0o777 & ~umask


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o444, 0o755])
def test_what_is_replaced_keeps_its_permissions(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(kept)
    files.write_text(path, "new")
    assert (path.read_text(), mode(path)) == ("new", kept)


@pytest.mark.parametrize("kept", [0o700, 0o775, 0o2770])
def test_a_folder_that_is_replaced_keeps_its_permissions(tmp_path: Path, kept: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(kept)
    with files.fresh_folder(folder) as new:
        (new / "x").write_text("x")
    assert mode(folder) == kept
    assert list(folder.iterdir()) == [folder / "x"]


def test_a_link_gives_its_permissions_to_nobody(tmp_path: Path, umask: int) -> None:
    (tmp_path / "cache").write_text("old")
    (tmp_path / "cache").chmod(0o444)  # as in DVC's cache
    (tmp_path / "file").symlink_to(tmp_path / "cache")
    files.write_text(tmp_path / "file", "new")
    assert not (tmp_path / "file").is_symlink()
    assert mode(tmp_path / "file") == 0o666 & ~umask
    assert (tmp_path / "cache").read_text() == "old"
