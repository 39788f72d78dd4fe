"""Results of stages in real repositories."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows import dvc
from flows.dvc import Stage, StageResult
from tests.support.repositories import SHOUT, sh

Make = Callable[..., Path]


def run_all() -> dict[str, StageResult]:
    return {each.name: dvc.run(each, lambda line: None).result for each in dvc.graph()}


def one(name: str) -> Stage:
    return next(each for each in dvc.graph() if each.name == name)


def test_order_follows_dvc_and_carries_slots(make_repository: Make) -> None:
    upside_down = (
        "stages:\n  b:\n    cmd: cp a.txt b.txt\n    deps: [a.txt]\n    outs: [b.txt]\n    meta: {slot: gpu}\n"
    )
    upside_down += "  a:\n    cmd: cp data/a.txt a.txt\n    deps: [data]\n    outs: [a.txt]\n"
    make_repository(upside_down)
    stages = dvc.graph()
    assert [each.name for each in stages] == ["data.dvc", "a", "b"]
    assert [each.data for each in stages] == [True, False, False]
    assert [each.slot for each in stages] == [None, None, "gpu"]


def test_runs_then_cached_then_restored(make_repository: Make) -> None:
    folder = make_repository()
    assert run_all() == {"data.dvc": StageResult.CACHED, "shout": StageResult.RAN, "count": StageResult.RAN}
    assert run_all() == {"data.dvc": StageResult.CACHED, "shout": StageResult.CACHED, "count": StageResult.CACHED}
    assert dvc.stale() == []
    (folder / "loud.txt").unlink()
    assert dvc.stale() == ["count", "shout"]
    assert run_all() == {"data.dvc": StageResult.CACHED, "shout": StageResult.RESTORED, "count": StageResult.CACHED}


def test_a_truncated_lock_file_is_refused_with_a_message_and_can_be_deleted(make_repository: Make) -> None:
    folder = make_repository()
    run_all()
    lock = folder / "dvc.lock"
    lock.write_text("")
    with pytest.raises(dvc.StageError, match=r"dvc\.lock' validation failed.*delete it"):
        dvc.graph()
    lock.unlink()
    assert set(run_all().values()) <= {StageResult.CACHED, StageResult.RESTORED}


def test_same_lock_file_as_dvc_alone(make_repository: Make) -> None:
    folder = make_repository()
    run_all()
    by_flow = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").unlink()
    sh(folder, "dvc", "repro", "--force")
    assert (folder / "dvc.lock").read_text() == by_flow


def test_missing_data_are_fetched(make_repository: Make) -> None:
    folder = make_repository()
    sh(folder, "rm", "-rf", "data", ".dvc/cache")
    assert run_all()["data.dvc"] == StageResult.FETCHED
    assert (folder / "data" / "a.txt").read_text() == "a"


def test_changed_data_are_recorded_and_used(make_repository: Make) -> None:
    folder = make_repository()
    run_all()
    before = (folder / "data.dvc").read_text()
    (folder / "data" / "b.txt").write_text("b")
    assert run_all() == {"data.dvc": StageResult.RECORDED, "shout": StageResult.RAN, "count": StageResult.RAN}
    assert (folder / "loud.txt").read_text() == "AB"
    assert (folder / "data.dvc").read_text() != before


def test_missing_data_that_no_remote_has_fail_with_a_message(make_repository: Make) -> None:
    folder = make_repository()
    sh(folder, "rm", "-rf", "data", ".dvc/cache", "store")
    with pytest.raises(dvc.StageError, match=r"(?s)data\.dvc failed.*missing.*ddpm data use"):
        run_all()


def test_a_failed_stage_gives_its_last_lines_and_is_not_transient(make_repository: Make) -> None:
    make_repository(shout="import sys\nprint('error: no voice')\nsys.exit(3)")
    shown: list[str] = []
    with pytest.raises(dvc.StageError) as caught:
        dvc.run(one("shout"), shown.append)
    assert type(caught.value) is dvc.StageError
    assert str(caught.value) == "shout failed with exit status 3. Its last lines:\n  error: no voice"
    assert [*shown, caught.value.brief] == [
        "error: no voice", "shout failed with exit status 3. Its last lines are above."
    ]  # fmt: skip


def test_lines_come_while_the_stage_runs_and_without_chatter(make_repository: Make) -> None:
    make_repository(
        shout="import time\nprint('first')\ntime.sleep(1)\nprint('second')\n" + SHOUT.replace('print("shouting")', "")
    )
    heard: list[tuple[str, float]] = []
    dvc.run(one("shout"), lambda line: heard.append((line, time.monotonic())))
    assert [line for line, _ in heard] == ["first", "second"]
    assert heard[1][1] - heard[0][1] > 0.5


def test_busy_is_distinguished_from_failure(make_repository: Make) -> None:
    """Another DVC process holds the stage's lock: the entry that DVC itself writes, with a running process."""
    folder = make_repository()
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    holder = {"pid": os.getpid(), "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {str(folder / "loud.txt"): holder}}))
    with pytest.raises(dvc.BusyError, match="another DVC process"):
        dvc.run(one("shout"), lambda line: None)
    rwlock.write_text("{}")
    assert dvc.run(one("shout"), lambda line: None).result == StageResult.RAN


SAVES = """\
import signal, subprocess, sys, time
from pathlib import Path
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
Path("pids").write_text(f"{helper.pid} {apart.pid}")
try:
    print("working")
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.5)
    Path("saved").write_text("saved")
    print("saved")
    sys.exit(1)
"""
STUBBORN = """\
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("working")
time.sleep(600)
"""


def test_the_time_limit_lets_a_stage_save_and_leaves_no_process(make_repository: Make) -> None:
    folder = make_repository(shout=SAVES)
    with pytest.raises(dvc.TimeLimitError, match="time limit"):
        dvc.run(one("shout"), lambda line: None, limit=4, grace=20)
    assert (folder / "saved").exists()
    assert_gone(folder)


def test_a_stage_that_does_not_stop_is_killed(make_repository: Make) -> None:
    folder = make_repository(shout=STUBBORN)
    with pytest.raises(dvc.TimeLimitError):
        dvc.run(one("shout"), lambda line: None, limit=4, grace=1)
    assert_gone(folder)


RUNNER = """\
import sys
from pathlib import Path
from flows import dvc
chosen = next(each for each in dvc.graph() if each.name == "shout")
dvc.run(chosen, lambda line: print(line, flush=True), grace=20)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_flow_ends_its_children(make_repository: Make, number: signal.Signals) -> None:
    """Ctrl-C is relayed and awaited; after SIGKILL, the kernel signals DVC and the trainer."""
    script = (
        "from ddpm.runtime.parent import die_with_parent\ndie_with_parent()\n" + SAVES
        if number == signal.SIGKILL
        else SAVES
    )
    folder = make_repository(shout=script.replace("start_new_session=True", "start_new_session=False"))
    root = Path(__file__).parents[3]
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
        start_new_session=True,
    )
    assert runner.stdout is not None
    assert runner.stdout.readline() == "working\n"
    runner.send_signal(number)
    runner.wait(timeout=60)
    runner.stdout.close()
    if number == signal.SIGINT:
        assert (folder / "saved").exists()
    else:  # helpers that did not ask to end with their parent are not this test's business
        for pid in (folder / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    assert_gone(folder)


def assert_gone(folder: Path, patience: float = 20) -> None:
    """Assert that no process runs in the repository."""
    deadline = time.monotonic() + patience
    while True:
        left = [each for each in psutil.process_iter() if each.pid != os.getpid() and works_in(each, folder)]
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def works_in(each: psutil.Process, folder: Path) -> bool:
    try:
        return each.status() != psutil.STATUS_ZOMBIE and Path(each.cwd()) == folder
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return False
