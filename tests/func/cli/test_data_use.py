"""`ddpm data`: other images in place, all or nothing, in a real repository."""

import http.server
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddpm.cli import data, project_checks
from ddpm.config import params
from ddpm.data import pointer
from tests.func.cli.conftest import folder, images, run, special, state
from tests.support import prices
from tests.support.imagefiles import encoded, zipped


def linked(path: Path, target: str) -> Path:
    (path / "a" / "link.png").symlink_to(target)
    return path


def test_a_table_of_prices(checkout: Path, tmp_path: Path) -> None:
    source = prices.write(tmp_path / "prices.csv", 3000, 2)
    done = run("ddpm", "data", "use", str(source), "--apply", cwd=checkout).stdout
    for part in ("2 columns (share0, share1)", "rows: 3,000, 2000-01-03 to", "every 1 day", "kind: series", "make run"):
        assert part in done
    found = params.load(checkout / "params.yaml")
    assert (found.prepare.kind, found.prepare.sides, found.promote.name) == ("series", (64,), "ddpm-prices")
    run("python", "-m", "ddpm.stages.prepare", cwd=checkout)
    assert params.read_yaml(checkout / "out/prepare/manifest.json")["kind"] == "series"
    assert "rows: 3,000" in run("ddpm", "data", "status", cwd=checkout).stdout

    before = (checkout / "data").read_bytes()
    source.write_text(source.read_text() + "2030-01-01,1,x\n")
    done = run("ddpm", "data", "update", cwd=checkout, check=False)
    assert (done.returncode, (checkout / "data").read_bytes()) == (1, before)
    assert "'share1' is not of numbers" in done.stderr

    pictures = folder(tmp_path / "pets", images())
    run("ddpm", "data", "use", str(pictures), "--apply", cwd=checkout)
    found = params.load(checkout / "params.yaml")
    assert (found.prepare.kind, found.sample.clamp) == ("images", True)


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
