"""`ddpm weights`: only the published content is kept, and nothing is left of anything else."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm.cli import app, weights
from tests.func.cli.conftest import run

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server of one file, whole and cut."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served/whole").write_bytes(CONTENT)
    (tmp_path / "served/cut").write_bytes(CONTENT[:-1])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_file_and_a_url_are_copied_when_their_hash_is_right(served: str, tmp_path: Path) -> None:
    for number, source in enumerate((str(tmp_path / "served/whole"), f"{served}/whole")):
        target = tmp_path / f"kept{number}" / "weights.pth"
        weights.download(source, target, SHA256)
        assert target.read_bytes() == CONTENT
        assert [path.name for path in target.parent.iterdir()] == ["weights.pth"]


@pytest.mark.parametrize("name", ["cut", "missing"])
def test_what_is_wrong_is_refused_and_removed_and_the_old_file_stays(name: str, served: str, tmp_path: Path) -> None:
    target = tmp_path / "kept/weights.pth"
    target.parent.mkdir()
    target.write_bytes(b"old")
    for source in (str(tmp_path / "served" / name), f"{served}/{name}"):
        with pytest.raises((ValueError, FileNotFoundError), match=r"was discarded|is not a file|not be downloaded"):
            weights.download(source, target, SHA256)
        assert target.read_bytes() == b"old"
        assert [path.name for path in target.parent.iterdir()] == ["weights.pth"]


def test_a_file_that_is_there_and_right_needs_no_source(tmp_path: Path) -> None:
    target = tmp_path / "weights.pth"
    target.write_bytes(CONTENT)
    weights.download(str(tmp_path / "nowhere"), target, SHA256)


@pytest.mark.parametrize(("name", "published"), [("inception", "6726825d"), ("dinov2", "d5383ea8")])
def test_only_the_published_file_is_taken(
    name: str, published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pth").write_bytes(CONTENT)
    done = CliRunner().invoke(app, ["weights", name, "--from", "mine.pth"])
    assert done.exit_code == 1
    assert f"has SHA-256 {SHA256}, but the published file has {published}" in done.stderr
    assert list(Path("weights").iterdir()) == []
    done = CliRunner().invoke(app, ["weights", name, "--from", "ftp://x/y"])
    assert "begins with https:// or http://" in done.stderr


def test_dvc_keeps_it_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = Path("weights/inception.pth")
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert not weights.track_with_dvc(target)
    run("dvc", "init", "--no-scm", "--quiet", cwd=tmp_path)
    assert weights.track_with_dvc(target)
    assert "md5:" in Path("weights/inception.pth.dvc").read_text()
