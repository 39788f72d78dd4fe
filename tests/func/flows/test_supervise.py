"""Supervision of real processes, and access to the servers."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ddpm.tracking import page
from flows.service import supervise
from flows.service.access import NEEDED, Exposure, ExposureError
from flows.service.supervise import SupervisedProcess, SupervisionError

WAITS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.05)


def member(tmp_path: Path, program: str, ask: signal.Signals = signal.SIGINT) -> SupervisedProcess:
    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    return SupervisedProcess("the part", start, tmp_path / "log", stop_signal=ask)


def until(what: SupervisedProcess, said: list[str]) -> None:
    """Keep the process running until it has printed that it is up."""
    deadline = time.monotonic() + 60
    while what.child is None or what.child.poll() is not None:
        what.ensure_running(said.append)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert what.child.stdout is not None
    assert what.child.stdout.readline() == "up\n"


def test_a_killed_process_is_restarted_and_logged(tmp_path: Path) -> None:
    said: list[str] = []
    part = member(tmp_path, WAITS)
    until(part, said)
    first = part.child
    assert first is not None
    first.kill()
    first.wait()
    until(part, said)
    assert part.child is not first
    assert said == [f"the part ended by SIGKILL; restarting it in 0.1s. Its log: {tmp_path / 'log'}"]
    part.stop()
    assert part.child is None


def test_pauses_grow_and_supervision_gives_up_with_a_message(tmp_path: Path) -> None:
    said: list[str] = []
    part = member(tmp_path, "raise SystemExit(3)")
    with pytest.raises(SupervisionError, match=r"the part ended 5 times in [\d.]+s, the last time with exit status 3"):
        supervise.keep_running([part], threading.Event(), said.append)
    assert len(said) == supervise.MAX_EXITS - 1
    pauses = [later - earlier for earlier, later in zip(part.exits, part.exits[1:], strict=False)]
    assert all(pause >= supervise.FIRST_PAUSE * 2**number for number, pause in enumerate(pauses))


def test_all_stop_with_their_descendants_the_last_first(tmp_path: Path) -> None:
    """Including a process that has a child and handles SIGTERM only."""
    nested = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {WAITS!r}], stdout=subprocess.DEVNULL)\n"
        "print('up', child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    said: list[str] = []
    one, two = member(tmp_path, WAITS), member(tmp_path, nested, ask=signal.SIGTERM)
    ended = threading.Event()
    order: list[int] = []
    children: list[int] = []

    def tick() -> None:
        assert one.child is not None
        assert two.child is not None
        assert two.child.stdout is not None
        children.append(int(two.child.stdout.readline().split()[1]))
        order.extend((one.child.pid, two.child.pid))
        ended.set()

    supervise.keep_running([one, two], ended, said.append, tick)
    assert one.child is None
    assert two.child is None
    for pid in (*order, *children):
        assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    assert said == []


def test_an_error_between_checks_stops_all(tmp_path: Path) -> None:
    part = member(tmp_path, WAITS)

    def tick() -> None:
        raise OSError("the disk has gone")

    with pytest.raises(OSError, match="the disk has gone"):
        supervise.keep_running([part], threading.Event(), lambda text: None, tick)
    assert part.child is None


def test_servers_open_to_others_require_passwords(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    Exposure().check()
    Exposure("localhost").check()
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ExposureError) as refusal:
        Exposure("10.1.2.3").check()
    assert all(name in str(refusal.value) for name in NEEDED)
    for name in NEEDED:
        monkeypatch.setenv(name, "somebody:a-long-password")
    Exposure("10.1.2.3").check()
    with pytest.raises(ExposureError, match="not an address at which others can reach"):
        Exposure("0.0.0.0").check()
    told = Exposure("10.1.2.3").mlflow()
    assert "a-long-password" not in Path(told["MLFLOW_AUTH_CONFIG_PATH"]).read_text()
    assert Exposure("10.1.2.3").mlflow_application == page.APPLICATION_WITH_USERS
    assert Exposure("localhost").mlflow_application == Exposure().mlflow_application == page.APPLICATION
    assert page.environment("10.1.2.3:5000")["MLFLOW_SERVER_ALLOWED_HOSTS"] == "10.1.2.3:5000"
    assert Exposure().mlflow() == Exposure().prefect() == {}
