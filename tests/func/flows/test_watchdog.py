"""A run whose Prefect server is lost ends with a message, whatever its main thread waits for."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = """
import http.server, socketserver
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments): pass
with socketserver.TCPServer(("127.0.0.1", 0), Healthy) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
STAGE = """
import pathlib, time
try:
    print("begun", flush=True); time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.5); pathlib.Path("saved").touch()
"""
FLOW = """
import subprocess, sys, threading
from flows import console, processes
from flows.service import prefect_server
from flows.service.watchdog import Watchdog
own, port = None, sys.argv[1]
if port == "own":
    own = subprocess.Popen([sys.executable, "server.py"], stdout=subprocess.PIPE, text=True)
    port = int(own.stdout.readline())
found = prefect_server.Server(f"http://127.0.0.1:{port}/api", process=own)
print(own.pid if own else "", flush=True)
def stage():
    processes.run([sys.executable, "stage.py"], lambda line: print(line, flush=True))
def deaf():
    print("deaf", flush=True)
    while True:
        try: threading.Event().wait()
        except KeyboardInterrupt: pass
try:
    with Watchdog(found, console.Terminal(), float(sys.argv[3])).watching():
        globals()[sys.argv[2]]()
except KeyboardInterrupt:
    own.kill()
    print("Ctrl-C arrived")
    sys.exit(7)
"""


@dataclass
class Run:
    """A small flow and its server, which can be killed."""

    process: "subprocess.Popen[str]"
    server: int

    def says(self, word: str) -> None:
        """Read lines up to the one with this word."""
        assert self.process.stdout
        assert any(word in line for line in iter(self.process.stdout.readline, ""))

    def end(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, " ".join(said.split())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """A function that starts a flow, given its server (`own` or a port), blocking function and patience."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "stage.py").write_text(STAGE)
    started: list[Run] = []

    def start(owner: str, work: str, patience: float = 60) -> Run:
        others = None
        if owner == "others":
            others = subprocess.Popen([sys.executable, "server.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
            assert others.stdout
            owner = others.stdout.readline().strip()
        flow = subprocess.Popen(
            [sys.executable, "-c", FLOW, owner, work, str(patience)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert flow.stdout
        pid = flow.stdout.readline()
        started.append(Run(flow, others.pid if others else int(pid)))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(each.server, signal.SIGKILL)


Start = Callable[..., Run]


def test_a_stage_saves_before_the_run_ends_with_its_server(start: Start, tmp_path: Path) -> None:
    run = start("own", "stage")
    run.says("begun")
    os.kill(run.server, signal.SIGKILL)
    status, said = run.end()
    assert (status, "has ended" in said, "run the same command again" in said) == (1, True, True), said
    assert (tmp_path / "saved").exists()
    assert "Traceback" not in said


def test_a_run_that_ignores_sigint_ends_with_its_server(start: Start) -> None:
    run = start("own", "deaf")
    run.says("deaf")
    os.kill(run.server, signal.SIGKILL)
    assert run.end()[0] == 1


def test_the_server_of_another_process_is_waited_for(start: Start) -> None:
    run = start("others", "deaf", patience=1.5)
    run.says("deaf")
    os.kill(run.server, signal.SIGSTOP)  # it is there and does not answer
    status, said = run.end()
    assert status == 1
    assert "does not answer; if it does not for" in said
    assert "has not answered for" in said


def test_control_c_ends_a_run_while_its_server_does_not_answer(start: Start) -> None:
    run = start("others", "deaf")
    run.says("deaf")
    os.kill(run.server, signal.SIGSTOP)
    run.says("does not answer")
    run.process.send_signal(signal.SIGINT)
    status, said = run.end()
    assert status == 130
    assert "stopped" in said


def test_control_c_is_left_to_the_flow_while_its_server_answers(start: Start, tmp_path: Path) -> None:
    run = start("own", "stage")
    run.says("begun")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == (7, "Ctrl-C arrived")
    assert (tmp_path / "saved").exists()
