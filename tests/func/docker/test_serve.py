"""The image that serves the champion: its own command, without the container, asked for what it must refuse."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from ddpm.serving import pack
from tests.support import records, served

ROOT = Path(__file__).parents[3]
TOKEN = "only-for-this-test"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def command(port: int) -> list[str]:
    """Return the command of the image, with another address."""
    (line,) = re.findall(r'^CMD (\["uvicorn".*\])$', (ROOT / "docker/Dockerfile").read_text(), re.M)
    words = json.loads(line)
    here = {"/usr/local/lib/ddpm/serve": str(ROOT / "docker/serve"), "0.0.0.0": "127.0.0.1", "8000": str(port)}
    return [sys.executable, "-m", *(here.get(word, word) for word in words)]


@pytest.fixture(scope="module")
def server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of the image's server."""
    folder, port = tmp_path_factory.mktemp("serve"), records.free_port()
    pack.pack(tiny_checkpoint, folder / "model", {"sampler": "ddim", "steps": 4, "spacing": "uniform"})
    settings = {"MODEL_URI": str(folder / "model"), "SERVE_TOKEN": TOKEN, "SERVE_BODY": "100000"}
    log = folder / "log"
    with records.group(command(port), log, **settings, **served.ENVIRONMENT) as child:
        records.wait_for(f"http://127.0.0.1:{port}/health", child, log)
        yield port, psutil.Process(child.pid)
        assert TOKEN not in log.read_text()


def ask(port: int, request: served.Request) -> tuple[int, str]:
    return served.ask(port, replace(request, headers={**AUTHORIZED, **request.headers}))


BAD = served.BAD | {
    "nested without end": served.Request(b'{"dataframe_split":' * 5000, "not valid JSON"),
    "no content type": served.Request(served.params(), "Content-Type", 415, kind=None),
    "an unknown parameter": served.Request(served.params(stps=5), "unknown params: stps; known: class, count, format"),
    "an unknown field": served.Request(b'{"inputs": {}, "x": 1}', "unknown field: x"),
    "a large body": served.Request(served.labels(*[1] * 50_000), "at most 100,000 bytes", 413),
    "a large body in parts": served.Request(served.labels(*[1] * 50_000), "at most 100,000 bytes", 413, in_parts=True),
    "no token": served.Request(served.params(), "token", 401, headers={"Authorization": ""}),
    "a wrong token": served.Request(served.params(), "token", 401, headers={"Authorization": f"Bearer {TOKEN}x"}),
}


def test_every_bad_request_is_refused_in_words_by_a_server_that_lives_on(
    server: tuple[int, psutil.Process],
) -> None:
    port, process = server
    for name, request in BAD.items():
        status, answer = ask(port, request)
        assert status == request.status, (name, answer)
        assert re.search(request.said, answer), (name, answer)
        assert process.is_running(), name
    status, answer = ask(port, served.Request(served.params(seed=5)))
    assert status == 200, answer
    assert np.array(json.loads(answer)["predictions"]).shape == (2, 8, 8, 1)
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE


def test_the_same_images_come_as_arrays_as_pngs_and_as_one_picture(server: tuple[int, psutil.Process]) -> None:
    def drawn(form: str) -> list:
        status, answer = ask(server[0], served.Request(served.params(count=5, seed=5, format=form)))
        assert status == 200, answer
        return json.loads(answer)["predictions"]

    arrays = np.array(drawn("array"), np.uint8)[..., 0]
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in drawn("png")]
    assert np.array_equal(images, arrays)
    (sheet,) = (np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in drawn("grid"))
    assert sheet.shape == (2 * 8, 3 * 8)
    assert np.array_equal(sheet[8:16, 8:16], arrays[4])
    assert not sheet[8:16, 16:].any()


@pytest.mark.parametrize(("missing", "said"), [("MODEL_URI", "MODEL_URI is missing"), ("SERVE_TOKEN", "SERVE_TOKEN")])
def test_it_does_not_start_without_a_model_or_a_token(missing: str, said: str) -> None:
    settings = {"MODEL_URI": "models:/m@champion", "SERVE_TOKEN": TOKEN} | {missing: ""}
    done = subprocess.run(
        command(records.free_port()), env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert said in done.stderr
