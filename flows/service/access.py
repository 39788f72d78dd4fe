"""Access to the servers of this checkout: who can reach them, the secret they ask for, and how commands find them.

A record in a file names a server; the key in it lets a command verify that the server it reaches is that one.
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
    "PREFECT_SERVER_API_AUTH_STRING": "who may use Prefect's server, as user:password",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "the password of MLflow's user `admin`, 12 characters or more",
}


@dataclass(frozen=True)
class Record:
    """A server that runs for this checkout.

    url: of its page. auth: the secret, as user:password. key: proves its identity. pid: of the process that runs it.
    """

    url: str
    auth: str
    key: str
    pid: int

    def write(self, path: Path) -> None:
        """Write it where other commands of this checkout and user look."""
        write_private(path, json.dumps(vars(self)))

    def forget(self, path: Path) -> None:
        """Remove the file, unless another process has taken the server over."""
        if (found := read(path)) and found.pid == self.pid:
            path.unlink(missing_ok=True)

    def proven(self, name: str) -> bool:
        """Whether the server at the address is this one: only it knows the key."""
        nonce = secrets.token_hex(16)
        address = urllib.parse.urlsplit(self.url).netloc
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            with opener.open(f"{self.url}{guard.PROOF}?nonce={nonce}", timeout=2) as answer:
                given = str(json.loads(answer.read(LARGEST_PROOF))["proof"])
            return hmac.compare_digest(given.encode(), guard.proof(self.key, name, address, nonce).encode())
        return False


def read(path: Path) -> Record | None:
    """The record in a file; None when there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return Record(str(found["url"]), str(found["auth"]), str(found["key"]), int(found["pid"]))
    return None


def secret_file() -> Path:
    """The file that keeps the secret between starts, so that browsers stay signed in."""
    return Path(os.environ["PREFECT_HOME"]) / "secret"


def chosen() -> str:
    """The secret set in the environment, or an empty text."""
    return os.environ.get("PREFECT_SERVER_API_AUTH_STRING", "")


def secret() -> str:
    """The secret set in the environment, or that of this checkout: made anew if missing or readable by others."""
    if named := chosen():
        return named
    path = secret_file()
    with contextlib.suppress(OSError, ValueError):
        found = path.read_text(encoding="ascii").strip()
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0 and found.startswith(f"{USER}:"):
            return found
    made = f"{USER}:{secrets.token_urlsafe(32)}"
    write_private(path, f"{made}\n")
    return made


def link(record: Record) -> str:
    """The address that signs a browser in; without the secret if the environment sets it, or if there is none."""
    return f"{record.url}{guard.SIGN_IN}#{record.auth}" if record.auth and not chosen() else record.url


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that at no moment anybody but this user can read."""
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
    """The servers would be open to others; the message says what is missing."""


@dataclass(frozen=True)
class Exposure:
    """The address that the servers listen at and are reached by."""

    host: str = HOST

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can reach them."""
        return self.host in {HOST, "localhost"}

    def check(self) -> None:
        """Raise ExposureError if others could reach a server without a password."""
        if self.local:
            return
        if self.host in {"0.0.0.0", "::", ""}:  # noqa: S104 - refused
            raise ExposureError(
                f"--host {self.host!r} is not an address that others can reach this machine by. Name one that is."
            )
        missing = [f"  {name}: {what}" for name, what in NEEDED.items() if not os.environ.get(name)]
        if missing:
            raise ExposureError(
                f"--host {self.host} opens the servers to others without a password. "
                "Set in the environment:\n" + "\n".join(missing)
            )
        if importlib.util.find_spec("flask_wtf") is None:
            raise ExposureError("MLflow's sign-in needs flask-wtf: pip install -r requirements-team.lock")

    def prefect(self) -> dict[str, str]:
        """The environment of Prefect's server, whose own services ask its API too."""
        return {} if self.local else {"PREFECT_API_AUTH_STRING": os.environ["PREFECT_SERVER_API_AUTH_STRING"]}

    def mlflow(self) -> dict[str, str]:
        """The environment of MLflow's server. Its users are kept beside its database; unknown users see nothing."""
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
        """A key per start: browser sessions end with the service."""
        return secrets.token_hex(32)
