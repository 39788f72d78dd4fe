"""The services of docker/compose.yaml without containers: same commands, same secrets, free ports on 127.0.0.1."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows import processes
from flows.service import prefect_server

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = YAML(typ="safe").load(DOCKER / "compose.yaml")
PATIENCE = 240.0


@dataclass(frozen=True)
class Team:
    """Addresses of the servers. `folder` has their logs and `secrets`."""

    folder: Path
    ports: Mapping[str, int]

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def here(self, text: str) -> str:
        """A word of the compose file, as it is without containers."""
        text = re.sub(r"/run/secrets/(\w+)", lambda found: str(self.folder / secret_file(found[1])), text)
        text = re.sub(r"\$\{(\w+)_PORT:-\d+\}", lambda found: str(self.ports[found[1].lower()]), text)
        text = re.sub(
            r"\b(postgres|store|mlflow|prefect):\d{4}\b", lambda found: f"127.0.0.1:{self.ports[found[1]]}", text
        )
        text = text.replace("0.0.0.0", "127.0.0.1").replace("/var/lib/prefect", str(self.folder / "prefect"))
        return text.replace("/tmp/pages", str(self.folder / "pages"))

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service in the compose file, without variables of other servers."""
        ours = ("PREFECT", "MLFLOW", "AWS", "PG")
        own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        said = COMPOSE["services"][service]["environment"]
        quiet = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        return own | path | quiet | {name: self.here(str(value)) for name, value in said.items()}

    def command(self, service: str) -> list[str]:
        """The command of a service, with its secrets from files."""
        words = [self.here(word) for word in COMPOSE["services"][service]["command"]]
        words = [f"--port={self.ports[service]}" if word.startswith("--port=") else word for word in words]
        return [str(DOCKER / "with-secrets.sh"), *words]


def secret_file(name: str) -> str:
    return f"secrets/{Path(COMPOSE['secrets'][name]['file']).name}"


@contextlib.contextmanager
def started() -> Iterator[Team]:
    """All servers; they end with the block."""
    from moto.server import ThreadedMotoServer

    folder = Path(tempfile.mkdtemp(prefix="team-"))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    team = Team(folder, {name: prefect_server.free_port() for name in ("postgres", "store", "mlflow", "prefect")})
    subprocess.run([DOCKER / "secrets.sh", folder / "secrets"], check=True, capture_output=True)
    for path in (folder / "secrets").iterdir():
        path.chmod(0o600)
        path.write_text(team.here(path.read_text()))
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=team.ports["store"], verbose=False)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        store.start()
        stack.callback(store.stop)
        stack.enter_context(postgres(team))
        buckets = [str(DOCKER / "with-secrets.sh"), sys.executable, str(DOCKER / "buckets.py"), "mlflow", "dvc"]
        subprocess.run(buckets, env=team.environment("buckets"), check=True, capture_output=True)
        for name, health in (("mlflow", "/health"), ("prefect", "/api/health")):
            child = stack.enter_context(running(team, name))
            wait(child, f"http://127.0.0.1:{team.ports[name]}{health}", folder / f"{name}.log")
        yield team


@contextlib.contextmanager
def postgres(team: Team) -> Iterator[None]:
    """PostgreSQL as Debian has it, started as the image starts it: passwords over TCP, then databases.sh."""
    programs = postgres_programs()
    assert programs is not None
    home = team.folder / "postgres"
    home.mkdir()
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(home, "postgres")
    data = str(home / "data")
    initdb = [str(programs / "initdb"), "-D", data, "-U", "postgres", "--auth-host=scram-sha-256", "--auth-local=trust"]
    subprocess.run([*user, *initdb], cwd="/", check=True, capture_output=True)
    options = f"-c listen_addresses=127.0.0.1 -c port={team.ports['postgres']} -c unix_socket_directories={home}"
    control = [*user, str(programs / "pg_ctl"), "-D", data, "-w", "-t", "120"]
    log = str(home / "log")
    subprocess.run([*control, "-l", log, "-o", options, "start"], cwd="/", check=True, stdout=subprocess.DEVNULL)
    try:
        told = {"SECRETS": str(team.folder / "secrets"), "PGHOST": str(home), "PGPORT": str(team.ports["postgres"])}
        subprocess.run([DOCKER / "postgres" / "databases.sh"], env=os.environ | told, check=True)
        yield
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd="/", check=True, stdout=subprocess.DEVNULL)


def postgres_programs() -> Path | None:
    """Debian keeps them off PATH, in a folder per version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def running(team: Team, service: str) -> Iterator["subprocess.Popen[str]"]:
    """One server, with all processes that it starts."""
    with (team.folder / f"{service}.log").open("w") as log:
        child = subprocess.Popen(
            team.command(service), env=team.environment(service), cwd=team.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield child
        finally:
            processes.stop(child, grace=10)


def wait(child: "subprocess.Popen[str]", url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while answer(url) != 200:
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)


def answer(url: str, **headers: str) -> int:
    """The status of a page, 0 if nobody listens."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as page:
            return int(page.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
