"""`ddpm data use` when it is stopped, killed, or run twice: the data are the old ones or the new ones."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ddpm.data import replace
from tests.func.cli.conftest import environment, folder, images, run, special, state


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_it_fetches(ending: signal.Signals, checkout: Path, tmp_path: Path) -> None:
    """DVC is at work on a large source when the stop comes; the whole group gets it, as from a terminal."""
    source = folder(tmp_path / "large", images(1500, side=32))
    before = state(checkout)
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "ddpm"), "data", "use", str(source)],
        cwd=checkout,
        env=environment(checkout),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while process.poll() is None and not (checkout / "data.incoming").exists():
        time.sleep(0.002)
    assert process.poll() is None
    os.killpg(process.pid, ending)
    process.communicate()
    assert process.returncode != 0
    if ending != signal.SIGINT:
        assert (checkout / "data" / "mnist.zip").exists()  # before anything is mended
        run("ddpm", "data", "status", cwd=checkout)
    assert state(checkout) == before


STEPS = 6
"""Renames and deletions of a swap; in the last case, the process does not die."""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(STEPS + 1))
def test_stopped_at_any_step_of_the_swap(
    step: int, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies at each step in turn; the next command finds the old data or the new, never neither or a mix."""
    source = folder(tmp_path / "pets", images(60, side=8))
    old = state(checkout)
    monkeypatch.chdir(checkout)
    replace.fetch(str(source))
    count = 0

    class DeathError(BaseException):
        pass

    def dying(real: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == step + 1:
                raise DeathError
            return real(*arguments, **options)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(Path, "unlink", dying(Path.unlink))
        with pytest.raises(DeathError) if step < STEPS else contextlib.nullcontext():
            replace.swap(str(source))
    assert count == STEPS or step < STEPS
    replace.recover()
    now = state(checkout)
    assert now["beside"] == ["data", "data.dvc"]
    assert not (checkout / ".state/data.before").exists()
    if now["pointer"] == old["pointer"]:
        assert now == old
    else:
        assert now["status"] == "{}\n"
        assert len(now["data"]) == 60  # type: ignore[arg-type]  # it is a dictionary


def test_a_killed_command_takes_dvc_with_it(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL of the command alone, while a pipe blocks DVC: DVC ends too, and the lock is free."""
    source = special(folder(tmp_path / "pets", images(3)), "a/0.pipe")
    before = state(checkout)
    program = f"from ddpm.data import replace\nwith replace.clean():\n    replace.fetch({str(source)!r})"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=checkout)
    pipe = None
    while process.poll() is None and pipe is None:
        with contextlib.suppress(OSError):  # nobody reads it yet
            pipe = os.open(source / "a/0.pipe", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    assert pipe is not None
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    left = psutil.wait_procs(started, timeout=60)[1]
    for each in left:
        each.kill()
    os.close(pipe)
    assert started
    assert not left
    monkeypatch.chdir(checkout)
    with replace.clean():
        pass
    assert state(checkout) == before


def test_commands_at_the_same_time(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one changes the data, the others are refused and leave its unfinished work alone."""
    source = folder(tmp_path / "pets", images(200, side=8))
    monkeypatch.chdir(checkout)
    with replace.clean():
        replace.fetch(str(source))
        for command in (["use", str(source)], ["update"], ["status"]):
            done = run("ddpm", "data", *command, cwd=checkout, check=False)
            assert done.returncode == 1
            assert "changing the data" in done.stderr or "names no source" in done.stderr
        assert (checkout / "data.incoming").exists()
        replace.swap(str(source))
    assert len(state(checkout)["data"]) == 200  # type: ignore[arg-type]  # it is a dictionary
