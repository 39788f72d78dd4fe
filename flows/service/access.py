"""Access to the servers of this checkout: their address, the secret they require, and how commands find them.

A file holds the record of each running server; its key lets a command verify that the server it reaches is that one.
"""

import contextlib
import hmac
import importlib.util
import json
import os
import secrets
import stat
import tempfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ddpm.common import addresses, files
from flows.service import guard

HOST = "127.0.0.1"
USER = "ddpm"
PREFECT = "prefect"
MLFLOW = "mlflow"
LARGEST_PROOF = 4096
AUTH = Path(".state/mlflow/auth.ini")
NEEDED = {
    "PREFECT_SERVER_API_AUTH_STRING": "the secret of Prefect's server, as user:password",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "the password of MLflow's user `admin`, 12 characters or more",
}


@dataclass(frozen=True)
class ServerRecord:
    """A running server of this checkout.

    url: of its page. auth: the secret, as user:password. key: proves its identity. pid: of the process that runs it.
    """

    url: str
    auth: str
    key: str
    pid: int

    def write(self, path: Path) -> None:
        """Write it for other commands of this checkout and user."""
        write_private(path, json.dumps(vars(self)))

    def remove(self, path: Path) -> None:
        """Remove the file, unless another process has taken over the server."""
        if (found := read(path)) and found.pid == self.pid:
            path.unlink(missing_ok=True)

    def is_genuine(self, name: str) -> bool:
        """Return True if the server at the address is this one, which alone knows the key."""
        nonce = secrets.token_hex(16)
        address = urllib.parse.urlsplit(self.url).netloc
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            with opener.open(f"{self.url}{guard.PROOF}?nonce={nonce}", timeout=2) as answer:
                given = str(json.loads(answer.read(LARGEST_PROOF))["proof"])
            return hmac.compare_digest(given.encode(), guard.proof(self.key, name, address, nonce).encode())
        return False


def read(path: Path) -> ServerRecord | None:
    """The record in a file; None if it is missing or unreadable."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return ServerRecord(str(found["url"]), str(found["auth"]), str(found["key"]), int(found["pid"]))
    return None


def secret_file() -> Path:
    """The file that holds the secret across restarts, so that browsers stay signed in."""
    return Path(os.environ["PREFECT_HOME"]) / "secret"


def secret_from_environment() -> str:
    """The secret set in the environment, or an empty text."""
    return os.environ.get("PREFECT_SERVER_API_AUTH_STRING", "")


def secret() -> str:
    """The secret set in the environment, or that of this checkout, created if it is missing or readable by others."""
    if chosen := secret_from_environment():
        return chosen
    path = secret_file()
    with contextlib.suppress(OSError, ValueError):
        found = path.read_text(encoding="ascii").strip()
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0 and found.startswith(f"{USER}:"):
            return found
    made = f"{USER}:{secrets.token_urlsafe(32)}"
    write_private(path, f"{made}\n")
    return made


def sign_in_link(record: ServerRecord) -> str:
    """The address that signs a browser in; without the secret if the environment sets it or the server has none."""
    return f"{record.url}{guard.SIGN_IN}#{record.auth}" if record.auth and not secret_from_environment() else record.url


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only this user can ever read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class ExposureError(ValueError):
    """Others could use the servers without a password; the message names the missing settings."""


@dataclass(frozen=True)
class Exposure:
    """The host that the servers listen on, and its consequences for access."""

    host: str = HOST

    @property
    def local(self) -> bool:
        """True if only this machine can reach them."""
        return self.host in {HOST, "localhost"}

    def check(self) -> None:
        """Raise ExposureError if others could reach a server without a password."""
        if self.local:
            return
        if self.host in {"0.0.0.0", "::", ""}:  # noqa: S104 - refused
            raise ExposureError(
                f"--host {self.host!r} is not an address at which others can reach this machine. Give such an address."
            )
        missing = [f"  {name}: {meaning}" for name, meaning in NEEDED.items() if not os.environ.get(name)]
        if missing:
            raise ExposureError(
                f"--host {self.host} opens the servers to others without a password. "
                "Set in the environment:\n" + "\n".join(missing)
            )
        if importlib.util.find_spec("flask_wtf") is None:
            raise ExposureError("MLflow's sign-in needs flask-wtf: pip install -r requirements-team.lock")

    def prefect(self) -> dict[str, str]:
        """The environment of Prefect's server, whose own services also use its API."""
        return {} if self.local else {"PREFECT_API_AUTH_STRING": os.environ["PREFECT_SERVER_API_AUTH_STRING"]}

    def mlflow(self) -> dict[str, str]:
        """The environment of MLflow's server. It stores its users next to its database; unknown users see nothing."""
        if self.local:
            return {}
        database = (AUTH.parent / "auth.db").resolve()
        uri = addresses.sqlite(database).replace("%", "%%")  # MLflow reads this file with configparser
        lines = ["[mlflow]", "default_permission = NO_PERMISSIONS", f"database_uri = {uri}"]
        files.write_text(AUTH, "\n".join([*lines, ""]))
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(AUTH.resolve()),
            "MLFLOW_AUTH_ADMIN_USERNAME": os.environ.get("MLFLOW_AUTH_ADMIN_USERNAME", "admin"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._session_key,
        }

    @property
    def mlflow_application(self) -> str:
        """MLflow's application: the one with user accounts if others can reach it."""
        from ddpm.tracking import page

        return page.APPLICATION if self.local else page.APPLICATION_WITH_USERS

    @cached_property
    def _session_key(self) -> str:
        """A new key per start, so that browser sessions end with the service."""
        return secrets.token_hex(32)
