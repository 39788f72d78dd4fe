"""Worker processes: their order, their bounds and their end."""

import operator
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ddpm.runtime import workers
from tests.support.waiting import wait_until

SCRIPT = """\
import sys, time
from ddpm.runtime.workers import map_in_order

if __name__ == "__main__":
    try:
        for number, _ in enumerate(map_in_order(time.sleep, [0.0] * 2 + [1.0] * 1000, 2)):
            print(number, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("count", [1, 2])
def test_results_have_the_order_of_the_tasks_and_few_are_taken_ahead(count: int) -> None:
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield number

    for done, result in enumerate(workers.map_in_order(operator.neg, tasks(), count)):
        assert result == -done
        assert taken <= done + workers.AHEAD * count
    assert taken == 40


@pytest.mark.parametrize("count", [1, 2])
def test_an_exception_is_raised_at_its_place(count: int) -> None:
    results = workers.map_in_order(partial(operator.floordiv, 12), [1, 2, 0, 3], count)
    assert [next(results), next(results)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_killed_worker_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="one of 2 worker processes was killed"):
        list(workers.map_in_order(os._exit, [9], 2))


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """A program with two workers at work, in a process group of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)
    program = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "0\n"
    children = psutil.Process(program.pid).children(recursive=True)
    assert len(children) >= 2
    yield program, children
    for each in [*children, program]:
        if isinstance(each, subprocess.Popen) or each.is_running():
            each.kill()


def _ended(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_workers_end_with_a_killed_parent(busy: tuple["subprocess.Popen[str]", list[psutil.Process]]) -> None:
    program, children = busy
    program.kill()
    wait_until(lambda: _ended(children))


def test_ctrl_c_reaches_the_parent_alone_and_ends_all(
    busy: tuple["subprocess.Popen[str]", list[psutil.Process]],
) -> None:
    """Without a traceback of any worker."""
    program, children = busy
    os.killpg(program.pid, signal.SIGINT)
    assert program.communicate(timeout=120)[1] == ""
    assert program.returncode == 130
    wait_until(lambda: _ended(children))
