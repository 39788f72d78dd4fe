"""Planted secrets, and everything that a training, a registration and the commands write: they are nowhere in it."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app, project_checks
from tests.support import records

SECRET = "hunter2"
ADDRESS = f"https://me:{SECRET}@127.0.0.1:9/x"
PLANTED = {
    ".env": f"PASSWORD={SECRET}\n",
    ".dvc/config.local": f"['remote \"private\"']\n    password = {SECRET}\n",
    ".dvc/config": f"['remote \"private\"']\n    url = {ADDRESS}\n    secret_access_key = {SECRET}\n",
    "notes.py": f'SOURCE = "{ADDRESS}"\n',
    "data.dvc": f"deps:\n- path: {ADDRESS}\nouts:\n- path: data\n  md5: '{'0' * 32}'\n",
    "docker/secrets/mlflow_password": SECRET,
}


def git(*words: str) -> None:
    names = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", *names, *words], check=True, capture_output=True)


@pytest.fixture
def planted(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with secrets in every place where people leave them, all of it uncommitted."""
    git("init", "-q")
    (project / "params.yaml").write_text("{}\n")
    git("add", "params.yaml")
    git("commit", "-q", "-m", "first")
    git("remote", "add", "origin", ADDRESS)
    for name, text in PLANTED.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:{SECRET}@127.0.0.1:9/api")
    return project


def said(*words: str) -> str:
    """Run a command; return its output."""
    return str(CliRunner().invoke(app, list(words)).output)


def written(*folders: Path) -> Iterator[Path]:
    """Every file that was not planted."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in {*PLANTED, ".git/config"}:
                yield path


class Repeating(BaseHTTPRequestHandler):
    """A tracking server whose answers repeat the address that it was asked by, as programs like to."""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        body = json.dumps({"error_code": "BAD_REQUEST", "message": f"http://me:{SECRET}@{host} is busy"}).encode()
        self.send_response(200 if self.path == "/health" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def repeating() -> Iterator[str]:
    """The address of such a server, with its password."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Repeating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:{SECRET}@127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_no_planted_secret_is_in_anything_that_is_written(
    planted: Path, repeating: str, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    changed = tracking.changes()
    assert changed.hidden >= 3
    with tracking.Tracker(records.DIGEST) as tracker:
        tracker.start({"data": "digits"}, tracking.lineage(changed), changed.content)
        tracker.metrics(1, {"loss": 1.0})
        tracker.finish("FINISHED")
    run_id = tracking.complete(records.DIGEST, {"fid": 1.0}, tags=tracking.lineage(changed))
    number = registry.register(tiny_checkpoint, "digits", run_id, {"conditions": {}})
    registry.promote("digits", number, why="first", expected_champion=None)
    commands = [["status", "--name", "digits"], ["history", "--name", "digits"], ["doctor"],
                ["lineage", "models:/digits/1"], ["lineage", "models:/digits/1", "--json"]]  # fmt: skip
    output = {" ".join(words): said(*words) for words in commands}
    assert "champion" in output["status --name digits"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", repeating)
    output["an error that repeats the address"] = said("status", "--name", "digits")
    assert "is busy" in output["an error that repeats the address"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@127.0.0.1:9")
    output["no server"] = said("status", "--name", "digits")
    assert "does not answer" in output["no server"]
    with tracking.Tracker("cd" * 32) as tracker:
        tracker.start({}, {})
        tracker.finish("FINISHED")
    output["captured"] = "".join(capfd.readouterr())
    assert "MLflow is not recording now" in output["captured"]
    assert not {name: text for name, text in output.items() if SECRET in text}
    found = [str(path) for path in written(planted) if SECRET.encode() in path.read_bytes()]
    assert not found
    assert len(list(written(planted))) > 20


def test_data_from_an_address_with_a_password_are_refused_before_anything_is_fetched(planted: Path) -> None:
    shutil.rmtree(planted / "docker")
    for address in (ADDRESS, "https://host/x?X-Amz-Signature=hunter2"):
        answer = said("data", "use", address)
        assert "the address holds a password or a signature" in answer
        assert "dvc remote modify --local" in answer
        assert SECRET not in answer
    assert not (planted / "data").exists()


def test_data_dvc_with_a_password_is_a_finding(planted: Path) -> None:
    (first, *_) = project_checks.data()
    assert first.state == "missing"
    assert "data.dvc holds a password, which git would store" in first.text
