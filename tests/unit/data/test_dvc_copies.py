"""Names that DVC cannot copy, in folders and archives."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.data.errors import DataError
from ddpm.data.sources import check_copyable, find

Files = dict[str, bytes]


Write = Callable[[Files], Path]


def test_what_dvc_cannot_copy_is_named_wherever_it_is(folder: Write, tmp_path: Path) -> None:
    root = folder({"a/1.png": b"x", ".hidden/2.png": b"x"})
    check_copyable(root)
    (root / "a/inside.png").symlink_to(root / "a/1.png")
    check_copyable(root)
    os.mkfifo(root / ".hidden/pipe")
    (root / "a/.dvcignore").write_text("*.png")
    (root / "a/gone.png").symlink_to("nowhere.png")
    (root / "a/loop.png").symlink_to("loop.png")
    (root / "a/there.png").symlink_to("back.png")
    (root / "a/back.png").symlink_to("there.png")
    with pytest.raises(DataError) as error:
        check_copyable(root)
    assert str(error.value).count("a broken or circular link") == 4
    assert ".hidden/pipe: it is a named pipe" in str(error.value)
    assert "a/.dvcignore: DVC refuses" in str(error.value)
    assert {entry.path for entry in find(root).entries} >= {"a/loop.png", "a/gone.png"}  # set aside by `prepare`
    shutil.rmtree(root)
    os.mkfifo(tmp_path / "data")
    with pytest.raises(DataError, match="is a named pipe"):
        find(tmp_path / "data")
    with pytest.raises(DataError, match="is a device"):
        find(Path("/dev/zero"))
