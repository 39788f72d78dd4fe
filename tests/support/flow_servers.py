"""Prefect's and MLflow's servers as `make ui` starts them, for tests that send requests to them."""

import base64
import http.client
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.clones import environment
from tests.support.databases import give_prefect
from tests.support.repositories import DDPM

ROOT = Path(__file__).parents[2]
WRITES = {"prefect": "/api/flows/", "mlflow": "/api/2.0/mlflow/experiments/create"}
PLANTED = b'{"name": "planted"}'
"""What a request to one of WRITES makes."""


@dataclass
class Servers:
    """Both servers, as `make ui` starts them in `folder`."""

    folder: Path
    process: "subprocess.Popen[str]"
    ports: dict[str, int]

    @property
    def secret(self) -> str:
        return (self.folder / ".state/prefect/secret").read_text().strip()

    def ask(
        self, name: str, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request with these headers; _ in a name stands for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=60)
        sent = {each.replace("_", "-"): value for each, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.read_whole = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def with_secret(self) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(self.secret.encode()).decode()}"}

    def planted(self, name: str) -> bool:
        """Return True if a write has changed anything."""
        path = {"prefect": "/api/flows/filter", "mlflow": "/api/2.0/mlflow/experiments/search"}[name]
        body = json.dumps({"max_results": 100} if name == "mlflow" else {}).encode()
        answer = self.ask(name, "POST", path, body, Content_Type="application/json", **self.with_secret())
        assert answer.status == 200
        return b"planted" in answer.read_whole  # type: ignore[attr-defined]


@contextmanager
def running(folder: Path, prefect_home: Path) -> Iterator[Servers]:
    """Both servers with a new state in `folder`; they end with the block. prefect_home: Prefect's empty tables."""
    give_prefect(folder / ".state/prefect", prefect_home)
    (folder / "flows").symlink_to(ROOT / "flows")
    (folder / "dvc.yaml").symlink_to(ROOT / "dvc.yaml")
    told = environment(folder) | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(
        [DDPM, "ui", "--mlflow-port", "0", "--prefect-port", "0"], cwd=folder, env=told,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        ports = dict(re.findall(r"^  (Prefect|MLflow) +http://127\.0\.0\.1:(\d+) ", "".join(said), re.M))
        made = Servers(folder, process, {name.lower(): int(port) for name, port in ports.items()})
        assert len(made.ports) == 2, said
        assert made.secret not in "".join(said), "it is shown on terminals only"
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
