"""`ddpm review` and `ddpm report`, as a person types them."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ddpm import tracking
from ddpm.cli import app
from ddpm.common import files
from ddpm.data import prepared
from ddpm.tracking.spool import Spool

DIGEST = "d" * 64


@pytest.fixture
def drawn(project: Path) -> Path:
    """Write the outputs of prepare, train and sample that a review needs."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8), np.full(40, -1)
    heldout = np.arange(40) < 20
    folder = Path("out/prepare")
    for name, array in {"images": images, "labels": labels, "heldout": heldout}.items():
        files.write_npy(folder / f"{name}.npy", array)
    known = {"resolution": 8, "channels": 1, "classes": [], "images": [{}] * 40}
    files.write_json(folder / "manifest.json", known)
    files.write_json(folder / "statistics.json", {"sha256": prepared.identity(images, labels, heldout)})
    files.write_bytes(Path("out/train/model/weights.safetensors"), b"weights")
    files.write_json(Path("out/train/model/config.json"), {"digest": DIGEST})
    files.write_npy(Path("out/sample/images.npy"), images[:20] // 2)
    files.write_json(Path("out/sample/sample.json"), {"weights_sha256": files.sha256_bytes(b"weights")})
    return project


def start(*options: str) -> tuple["subprocess.Popen[str]", str]:
    """The command, and its first line."""
    command = [sys.executable, "-c", "from ddpm.cli import app; app()", "review", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    assert process.stdout is not None
    return process, process.stdout.readline()


def post(line: str, path: str, body: str = "") -> int:
    """The status of a form that is sent."""
    return ask(line, "POST", path, body)


def ask(line: str, method: str, path: str, body: str = "") -> int:
    """Ask as a browser does that has opened the link of the first line; the status."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+) ", line)
    assert found is not None
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
    connection.request(method, path, body, {"Cookie": f"ddpm-review-{found[1]}={found[2]}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_review_goes_on_after_ctrl_c_and_ends_on_the_run(drawn: Path) -> None:
    spool = Spool(tracking.SPOOLS / DIGEST)
    with spool.writing(1):
        spool.start({}, {})
        spool.finish("FINISHED")
    run_id = tracking.replay(DIGEST)
    assert run_id is not None
    process, line = start("--count", "3")
    assert "open http://127.0.0.1:" in line
    assert post(line, "/answer", "position=0&real=yes") == 303
    process.send_signal(signal.SIGINT)
    assert "stopped after 1 of 3 images; the same command resumes" in process.communicate(timeout=60)[0]
    assert process.returncode == 130

    process, line = start("--count", "3")
    assert [post(line, "/answer", f"position={i}&real=yes") for i in (0, 1, 2)] == [409, 303, 303]
    assert post(line, "/finish") == 303
    assert process.stdout is not None
    said = ""
    while "the page shows the result until Ctrl-C" not in said:
        said += process.stdout.readline()
        assert process.poll() is None, said
    assert ask(line, "GET", "/") == 200, "after the result is on the run, the page is still served"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0
    found = files.read_json(next(Path(".state/review").glob("*.json")))["result"]["error"]
    assert f"({found['wrong']} of 3)" in said
    run = tracking.client().get_run(run_id)
    assert run.data.metrics["human_error_rate"] == found["rate"]
    assert run.data.metrics["human_error_rate_high"] == found["high"]
    assert [each.path.partition("/")[0] for each in tracking.client().list_artifacts(run_id)] == ["review"]

    again = CliRunner().invoke(app, ["review", "--count", "3"])
    assert again.exit_code == 0
    assert "is finished" in again.output
    assert "already logged to MLflow run" in again.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--count", "21"], "20 held-out and 20 generated images allow 20"),
        (["--count", "2"], "was generated with other weights"),
    ],
)
def test_what_cannot_be_reviewed_is_said(drawn: Path, options: list[str], said: str) -> None:
    if "other weights" in said:
        files.write_bytes(Path("out/train/model/weights.safetensors"), b"others")
    result = CliRunner().invoke(app, ["review", *options])
    assert result.exit_code == 1
    assert said in result.stderr


def test_missing_results_say_what_to_run(drawn: Path) -> None:
    assert "dvc repro evaluate" in CliRunner().invoke(app, ["report"]).stderr
    shutil.rmtree("out/sample")
    assert "dvc repro sample" in CliRunner().invoke(app, ["review"]).stderr
