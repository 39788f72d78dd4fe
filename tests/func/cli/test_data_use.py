"""`ddpm data`: other images in place, all or nothing, in a real repository."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from ddpm.cli import data, project_checks
from ddpm.config import params
from ddpm.data import pointer, replace
from tests.func.cli.conftest import environment, run
from tests.support.imagefiles import encoded, zipped

Files = dict[str, bytes]


def images(count: int = 300, side: int = 64, channels: int = 3, classes: str = "ab") -> Files:
    """Images of noise in class folders (or flat, without classes)."""
    random = np.random.default_rng(count + side)
    shape = (side, side, channels) if channels > 1 else (side, side)
    return {
        (f"{classes[index % len(classes)]}/" if classes else "") + f"{index}.png": encoded(
            random.integers(0, 256, shape, dtype=np.uint8)
        )
        for index in range(count)
    }


def folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def special(path: Path, name: str) -> Path:
    """A named pipe in a folder: whoever reads it waits for ever."""
    os.mkfifo(path / name)
    return path / name if name == "pipe" else path


def linked(path: Path, target: str) -> Path:
    (path / "a" / "link.png").symlink_to(target)
    return path


def state(checkout: Path) -> dict[str, object]:
    """Everything that a failed switch must leave alone."""
    there = checkout / "data"
    return {
        "pointer": (checkout / "data.dvc").read_text(),
        "params": (checkout / "params.yaml").read_text(),
        "ignore": (checkout / ".gitignore").read_text(),
        "data": {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()},
        "beside": sorted(path.name for path in checkout.glob("data*")),
        "status": run("dvc", "status", "--json", "data.dvc", cwd=checkout).stdout,
    }


def test_a_folder_of_colour_images(checkout: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "my pets", images())
    done = run("ddpm", "data", "use", str(source), "--apply", cwd=checkout).stdout
    for part in ("images: 300", "2 (a 150, b 150)", "64x64 (300)", "RGB (300); colour", "PNG (300)", "make run"):
        assert part in done
    found = params.load(checkout / "params.yaml")
    assert (found.prepare.resolution, found.prepare.channels, found.prepare.labels) == (64, 3, "folders")
    assert found.promote.name == "ddpm-my-pets"
    assert (found.promote.max_fid, found.promote.min_inception_score) == (None, None)
    assert "# side of the square images" in (checkout / "params.yaml").read_text()

    written = params.read_yaml(checkout / "data.dvc")
    assert written["deps"][0]["path"] == str(source)
    assert "remote" not in written["outs"][0]
    assert state(checkout)["beside"] == ["data", "data.dvc"]
    assert json.loads(run("dvc", "status", "--json", "data.dvc", cwd=checkout).stdout) == {}
    run("python", "-m", "ddpm.stages.prepare", cwd=checkout)
    assert params.read_yaml(checkout / "out/prepare/statistics.json")["count"] == 300
    assert f"imported from {source}" in run("ddpm", "data", "status", cwd=checkout).stdout

    folder(source, {"a/more.png": encoded(np.zeros((64, 64, 3), np.uint8))})
    run("dvc", "update", "data.dvc", cwd=checkout)  # DVC's own way
    assert (checkout / "data/a/more.png").exists()
    (source / "a/more.png").unlink()
    assert "images: 300" in run("ddpm", "data", "update", cwd=checkout).stdout
    assert not (checkout / "data/a/more.png").exists()

    shutil.rmtree(source)
    before = state(checkout)
    done = run("ddpm", "data", "update", cwd=checkout, check=False)
    assert (done.returncode, state(checkout)) == (1, before)
    assert "does not exist" in done.stderr


def test_hard_links_to_the_cache_keep_one_copy_of_each_image(checkout: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "pets", images(count=160, side=8))
    run("dvc", "config", "--local", "cache.type", "hardlink,copy", cwd=checkout)
    run("ddpm", "data", "use", str(source), cwd=checkout)
    used = list((checkout / "data").rglob("*.png"))
    cached = {path.stat().st_ino for path in (checkout / ".dvc/cache").rglob("*") if path.is_file()}
    assert len(used) == 160
    assert all(path.stat().st_nlink == 2 and path.stat().st_ino in cached for path in used)
    assert all(path.stat().st_nlink == 1 for path in source.rglob("*.png"))  # its owner may edit it
    (source / "a/0.png").unlink()
    run("ddpm", "data", "update", cwd=checkout)  # replaces write-protected files
    assert not (checkout / "data/a/0.png").exists()
    assert state(checkout)["beside"] == ["data", "data.dvc"]
    assert json.loads(run("dvc", "status", "--json", "data.dvc", cwd=checkout).stdout) == {}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_of_grey_images_by_a_relative_path(kind: str, checkout: Path, tmp_path: Path) -> None:
    files = images(side=28, channels=1)
    if kind == "zip":
        zipped(tmp_path / "digits.zip", files)
    else:
        folder(tmp_path / "digits", files)
        with tarfile.open(tmp_path / "digits.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "digits", "digits")
    done = run("ddpm", "data", "use", f"../digits.{kind}", cwd=checkout).stdout
    assert "28x28 (300)" in done
    assert "grey only" in done
    assert params.read_yaml(checkout / "data.dvc")["deps"][0]["path"] == f"../digits.{kind}"
    assert params.load(checkout / "params.yaml").promote.name != "ddpm-digits"  # proposed, not applied
    run("python", "-m", "ddpm.stages.prepare", cwd=checkout)
    assert "name: ddpm-digits" in done


def test_unlabelled_images_of_many_sizes(checkout: Path, tmp_path: Path) -> None:
    files = images(150, side=40, classes="") | {f"x{name}": content for name, content in images(151, 90, 3, "").items()}
    files["notes.psd"] = b"not an image"
    done = run("ddpm", "data", "use", str(folder(tmp_path / "photos", files)), "--apply", cwd=checkout).stdout
    assert "90x90 (151), 40x40 (150)" in done
    assert "scores use ImageNet features" in done[: done.index("fetching")]  # before any work
    assert "ddpm weights" not in done
    assert "notes.psd: its ending .psd is unknown" in done
    found = params.load(checkout / "params.yaml")
    assert (found.prepare.labels, found.features.extractor, found.sample.guidance) == ("none", "auto", 1.0)
    assert found.prepare.resolution == 64
    run("python", "-m", "ddpm.stages.prepare", cwd=checkout)


def test_to_and_fro_among_the_embedded_sets(checkout: Path) -> None:
    before = state(checkout)
    assert "ddpm preset quick" in run("ddpm", "data", "use", "digits", cwd=checkout).stdout
    assert state(checkout)["pointer"] == Path(checkout / "assets/datasets/digits.yaml").read_text()
    assert "the embedded set digits" in run("ddpm", "data", "status", cwd=checkout).stdout
    run("ddpm", "preset", "quick", cwd=checkout)
    run("dvc", "repro", "--single-item", "prepare", cwd=checkout)
    run("ddpm", "preset", "mnist", cwd=checkout)
    run("ddpm", "data", "use", "mnist", cwd=checkout)
    assert state(checkout) == before
    assert run("git", "status", "--porcelain", cwd=checkout).stdout == "?? dvc.lock\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server of a folder."""
    root = tmp_path / "served"
    root.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", root
    server.shutdown()


@pytest.mark.slow
def test_an_archive_from_the_web_and_a_listing_that_is_none(checkout: Path, served: tuple[str, Path]) -> None:
    url, root = served
    zipped(root / "faces.zip", images(side=16))
    folder(root / "loose", images(3))
    before = state(checkout)
    done = run("ddpm", "data", "use", f"{url}/loose", cwd=checkout, check=False)
    assert done.returncode == 1
    assert "neither a folder nor a readable zip or tar archive" in done.stderr
    assert state(checkout) == before
    done = run("ddpm", "data", "use", f"{url}/missing.zip", cwd=checkout, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert state(checkout) == before
    assert "16x16 (300)" in run("ddpm", "data", "use", f"{url}/faces.zip", cwd=checkout).stdout
    assert params.read_yaml(checkout / "data.dvc")["deps"][0]["path"] == f"{url}/faces.zip"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path / "nowhere", "does not exist"),
        (lambda path: folder(path / "empty", {"README.md": b"nothing"}), "no images in it"),
        (lambda path: folder(path / "bad", images(20) | {"a/x.png": b""}), "a/x.png: it is empty"),
        (lambda path: zipped(path / "evil.zip", {"../x.png": b""}), "leads out of the archive"),
        (lambda path: path / "clone" / "data", "`data` itself"),
        (lambda path: path / "clone", "`data` itself"),
        (lambda path: folder(path / "few", images(60, side=8)), "60 images; at least 150 are needed"),
        (lambda path: special(folder(path / "pipe", images()), "a/pipe.png"), "a/pipe.png: it is a named pipe"),
        (lambda path: special(folder(path / "pipe", images()), ".x"), ".x: it is a named pipe"),
        (lambda path: special(path, "pipe"), "is a named pipe"),
        (lambda path: linked(folder(path / "gone", images()), "nowhere.png"), "a broken or circular link"),
        (lambda path: linked(folder(path / "loop", images()), "link.png"), "a broken or circular link"),
    ],
)
def test_a_source_that_is_refused_changes_nothing(make: object, told: str, checkout: Path, tmp_path: Path) -> None:
    before = state(checkout)
    done = run("ddpm", "data", "use", str(make(tmp_path)), cwd=checkout, check=False)  # type: ignore[operator]
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert state(checkout) == before


def test_changes_by_hand_are_not_thrown_away(checkout: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "pets", images())
    (checkout / "data" / "mine.txt").write_text("precious")
    done = run("ddpm", "data", "use", str(source), cwd=checkout, check=False)
    assert done.returncode == 1
    assert "it was changed since `dvc add`" in done.stderr
    assert (checkout / "data" / "mine.txt").read_text() == "precious"
    run("ddpm", "data", "use", str(source), "--force", cwd=checkout)
    assert not (checkout / "data" / "mine.txt").exists()


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
    """SIGKILL of the command alone, while DVC waits for ever at a pipe: DVC ends too, and the lock is free."""
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
    """While one changes the data, the others are told so and leave its half-done work alone."""
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


def test_a_folder_called_as_an_embedded_set(checkout: Path) -> None:
    folder(checkout / "digits", images(200, side=8))
    done = run("ddpm", "data", "use", "./digits", cwd=checkout).stdout
    assert "ddpm-digits" in done
    assert len(state(checkout)["data"]) == 200  # type: ignore[arg-type]  # it is a dictionary
    run("ddpm", "data", "update", cwd=checkout)
    assert len(state(checkout)["data"]) == 200  # type: ignore[arg-type]
    done = run("ddpm", "data", "use", "digits", cwd=checkout).stdout
    assert "for the file or folder here, give ./digits" in done
    assert state(checkout)["pointer"] == (checkout / "assets/datasets/digits.yaml").read_text()


def test_what_an_address_means() -> None:
    assert data._local("./digits") == Path("digits")
    assert data._local("file:///srv/my%20pets") == Path("/srv/my pets")
    assert data._local("~/pets") == Path.home() / "pets"
    assert data._local("s3://bucket/pets") is None


def test_settings_of_dvc_that_a_person_has(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    general = folder(tmp_path / "general", {"config": b"[cache]\n    type = symlink\n[core]\n    remote = theirs\n"})
    with (general / "config").open("a") as file:
        file.write(f"['remote \"theirs\"']\n    url = {tmp_path}/theirs\n")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(general))
    source = folder(tmp_path / "pets", images(200, side=8))
    done = run("ddpm", "data", "use", str(source), cwd=checkout).stdout
    assert "name the default remote theirs" in done
    assert not [path for path in (checkout / "data").rglob("*") if path.is_symlink()]
    monkeypatch.chdir(checkout)
    assert "theirs" in next(project_checks.dvc_remote()).text
    (checkout / ".dvc/config.local").write_text("[cache]\n    type = symlink\n[core]\n    remote = theirs\n")
    assert not list(project_checks.dvc_remote())
    before = state(checkout)
    done = run("ddpm", "data", "use", str(source), cwd=checkout, check=False)
    assert done.returncode == 1
    assert "cache.type reflink,hardlink,copy" in done.stderr
    assert state(checkout) == before


@pytest.mark.parametrize("text", ["", "outs:\n- md5: 1\n", "outs: data\n", "[", "outs:\n<<<<<<< HEAD\n"])
def test_a_pointer_that_is_damaged(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.dvc").write_text(text)
    with pytest.raises(ValueError, match=r"data\.dvc"):
        pointer.read()


def test_outside_of_the_project(tmp_path: Path) -> None:
    done = run("ddpm", "data", "status", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "is not the project folder" in done.stderr
