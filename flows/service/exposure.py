"""Who can reach the servers: this machine alone, or others, and then only with a password."""

import importlib.util
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ddpm.common import addresses, files
from flows.service import prefect_server

AUTH = Path(".state/mlflow/auth.ini")
NEEDED = {
    "PREFECT_SERVER_API_AUTH_STRING": "who may use Prefect's server, as user:password",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "the password of MLflow's user `admin`, 12 characters or more",
}


class ExposureError(ValueError):
    """Servers would be open to others; the message says what is missing."""


@dataclass(frozen=True)
class Exposure:
    """The address that servers listen at, which is also the one that they are reached by."""

    host: str = prefect_server.HOST

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can reach them."""
        return self.host in {prefect_server.HOST, "localhost"}

    def check(self) -> None:
        """Raises ExposureError when others could reach a server without a password."""
        if self.local:
            return
        if self.host in {"0.0.0.0", "::", ""}:  # noqa: S104 - refused
            raise ExposureError(f"--host {self.host!r} is no address that others reach this machine by: name that one")
        missing = [f"  {name}: {what}" for name, what in NEEDED.items() if not os.environ.get(name)]
        if missing:
            raise ExposureError(
                f"--host {self.host} opens the servers to others, and nothing would ask them who they are. "
                "Set in the environment:\n" + "\n".join(missing)
            )
        if importlib.util.find_spec("flask_wtf") is None:
            raise ExposureError("MLflow's sign-in needs flask-wtf: pip install -r requirements-team.lock")

    def prefect(self) -> dict[str, str]:
        """The environment of Prefect's server, whose own services ask its API too."""
        return {} if self.local else {"PREFECT_API_AUTH_STRING": os.environ["PREFECT_SERVER_API_AUTH_STRING"]}

    def mlflow(self) -> dict[str, str]:
        """The environment of MLflow's server. Users are kept beside its database; who is not named sees nothing."""
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
        """MLflow's application: the one that asks its users for passwords where others can reach it."""
        from ddpm.tracking import page

        return page.APPLICATION if self.local else page.APPLICATION_WITH_USERS

    @cached_property
    def _session_key(self) -> str:
        """Sessions of browsers end with the service."""
        return secrets.token_hex(32)
