"""Locks between processes: held by one, shared by many, and inherited."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm.common.locks import LockBusyError, acquire, locked


def test_shared_locks_exclude_only_the_exclusive_one(tmp_path: Path) -> None:
    first, second, third = (os.open(tmp_path, os.O_RDONLY) for _ in range(3))
    assert acquire(first, shared=True)
    assert acquire(second, shared=True)
    assert not acquire(third)
    os.close(first)
    assert not acquire(third)
    os.close(second)
    assert acquire(third)
    os.close(third)


def test_a_child_that_inherits_the_descriptor_holds_the_lock_after_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "the parent", patience=0) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    with pytest.raises(LockBusyError, match="the parent"), locked(path, "the parent", patience=0):
        pass
    child.communicate(b"\n")
    with locked(path, "nobody", patience=0):
        pass
