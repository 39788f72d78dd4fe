"""Processes that end with their parent, as programs start them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SHOWS = "import signal, sys\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler, sys.argv[1:])\n"


@pytest.mark.parametrize(("options", "handled"), [((), "False"), (("--interruptible",), "True")])
def test_sigint_that_is_ignored_stays_so_unless_the_process_is_to_be_interruptible(
    tmp_path: Path, options: tuple[str, ...], handled: str
) -> None:
    (tmp_path / "shows.py").write_text(SHOWS)
    command = [sys.executable, "-P", "-m", "ddpm.runtime.parent", *options, str(os.getpid()), "shows", "--option", "a"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a child inherits
    try:
        shown = subprocess.check_output(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert shown == f"{handled} ['--option', 'a']\n"


def test_a_process_whose_parent_is_dead_already_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text(SHOWS)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    command = [sys.executable, "-P", "-m", "ddpm.runtime.parent", str(ended.pid), "shows"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"")
