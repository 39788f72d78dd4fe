"""A registered model where the project is not installed: an environment with the model's own requirements alone."""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ddpm import tracking
from ddpm.serving import pack
from tests.func.serving.conftest import CONDITIONS
from tests.support import records, served, tiny


@pytest.fixture(scope="module")
def registered(tiny_checkpoint: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A project folder with a champion in its record; the record's address."""
    folder = tmp_path_factory.mktemp("registered")
    with records.champion(folder, empty_database, tiny_checkpoint, "digits", CONDITIONS):
        yield tracking.tracking_uri()


@pytest.fixture(scope="module")
def clean(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment with the model's requirements alone."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-compile"]
    done = subprocess.run([*pip, "-r", packed / "requirements.txt"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def outside(uri: str) -> dict[str, str]:
    """An environment that knows MLflow's address and nothing of Python paths."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MLFLOW", "VIRTUAL_ENV"))}
    return kept | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}


OUTSIDER = """
import importlib.util, json, sys
assert importlib.util.find_spec("ddpm") is None, "the project is installed here"
import mlflow.pyfunc
model = mlflow.pyfunc.load_model("models:/digits@champion")
images = model.predict({"label": [1, 0, 1]}, params={"seed": 5})
print(json.dumps({"dtype": str(images.dtype), "images": images.tolist(), "file": sys.modules["ddpm"].__file__}))
"""


@pytest.mark.slow
def test_it_loads_and_draws_where_the_project_is_not_installed(
    clean: Path, registered: str, expected: Any, tmp_path: Path
) -> None:
    done = subprocess.run(
        [clean / "python", "-c", OUTSIDER],
        cwd=tmp_path,
        env=outside(registered),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["dtype"] == "uint8"
    assert np.array_equal(said["images"], expected(3, labels=[1, 0, 1], seed=5))
    assert "/code/ddpm/" in said["file"]


@pytest.mark.slow
def test_it_is_served_over_http_and_bad_requests_do_no_harm(
    clean: Path, registered: str, expected: Any, tmp_path: Path
) -> None:
    port = records.free_port()
    serve = [
        str(clean / "mlflow"), "models", "serve", "-m", "models:/digits@champion", "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    log = tmp_path / "serve.log"
    environment = outside(registered) | {"PATH": f"{clean}:{os.environ['PATH']}"}
    with records.group(serve, log, **environment, **served.ENVIRONMENT) as child:
        records.wait_for(f"http://127.0.0.1:{port}/ping", child, log)
        workers = {each.pid for each in psutil.Process(child.pid).children(recursive=True)}
        for name, request in served.BAD.items():
            status, answer = served.ask(port, request)
            assert status == request.status, (name, answer)
            assert re.search(request.said, answer), (name, answer)
        rows = {"dataframe_split": {"columns": ["label"], "data": [[1], [0]]}, "params": {"seed": 5}}
        status, answer = served.ask(port, served.Request(json.dumps(rows).encode()))
        assert status == 200, answer
        images = np.array(json.loads(answer)["predictions"], dtype=np.uint8)
        assert np.array_equal(images, expected(2, labels=[1, 0], seed=5))
        assert {each.pid for each in psutil.Process(child.pid).children(recursive=True)} == workers


def test_a_model_that_was_measured_with_a_guide_draws_without_one() -> None:
    """The weaker model is not packed, so its scale of guidance must not become the default."""

    def default(**conditions: object) -> object:
        params = pack.signature(tiny.CONFIG, {"guidance": 2.0, **conditions}).params
        assert params is not None
        return {each.name: each.default for each in params.params}["guidance"]

    assert default() == 2.0
    assert default(guide_sha256="0" * 64) == 1.0
