"""Freed memory is reused instead of being returned to the kernel, unless the user has set limits of their own."""

import os
import subprocess
import sys

import pytest

from ddpm.runtime import allocator

PROGRAM = """
import resource
import sys
from ddpm.runtime.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [bytearray(2**22) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

done = keep_freed_memory() if sys.argv[1] == "keep" else None
faults()
print(done, faults())
"""
GLIBC = sys.platform == "linux" and "CS_GNU_LIBC_VERSION" in os.confstr_names


def _run(mode: str, environment: dict[str, str]) -> tuple[str, int]:
    own = {name: value for name, value in os.environ.items() if name not in allocator.OWN_SETTINGS}
    command = [sys.executable, "-c", PROGRAM, mode]
    done = subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True)
    answer, count = done.stdout.split()
    return answer, int(count)


@pytest.mark.skipif(not GLIBC, reason="mallopt belongs to glibc")
def test_freed_blocks_are_reused() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    once = 4 * 2**22 // page
    assert _run("default", {"MALLOC_MMAP_THRESHOLD_": "1048576"})[1] > 10 * once  # each round faults again
    answer, count = _run("keep", {})
    assert answer == "True"
    assert count < once


@pytest.mark.skipif(not GLIBC, reason="mallopt belongs to glibc")
def test_limits_of_the_user_hold() -> None:
    answer, count = _run("keep", {"MALLOC_MMAP_THRESHOLD_": "1048576"})
    assert answer == "False"
    assert count > 10 * 4 * 2**22 // os.sysconf("SC_PAGE_SIZE")


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)  # would fail if it was called
    assert not allocator.keep_freed_memory()
