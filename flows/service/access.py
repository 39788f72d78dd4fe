"""The secret of this checkout's servers, and the files by which its commands find a server and know it for theirs."""

import contextlib
import hmac
import json
import os
import secrets
import stat
import tempfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from flows.service import guard

USER = "ddpm"
PREFECT = "prefect"
MLFLOW = "mlflow"
LARGEST_PROOF = 4096


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
        """Keep it where other commands of this checkout and user look."""
        write_private(path, json.dumps(vars(self)))

    def forget(self, path: Path) -> None:
        """Remove the file, unless another process looks after the server by now."""
        if (found := read(path)) and found.pid == self.pid:
            path.unlink(missing_ok=True)

    def proven(self, name: str) -> bool:
        """Whether the server that answers at the address is this one: only it knows the key."""
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
    """Where the secret is kept between starts, so that browsers stay signed in."""
    return Path(os.environ["PREFECT_HOME"]) / "secret"


def chosen() -> str:
    """The secret that the user chose in the environment, or nothing."""
    return os.environ.get("PREFECT_SERVER_API_AUTH_STRING", "")


def secret() -> str:
    """The secret that the user chose, or the one of this checkout: made when missing, or readable by others."""
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
    """The address that signs a browser in; without the secret where the user chose it, or where there is none."""
    return f"{record.url}{guard.SIGN_IN}#{record.auth}" if record.auth and not chosen() else record.url


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, at no moment anybody else, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
