"""MLFLOW_TRACKING_URI as people write it: brought into one form, and refused where it cannot name a record."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from ddpm.common import addresses
from ddpm.common.redact import redact_text

DATABASES = ("postgresql", "mysql", "sqlite", "mssql")
PACKAGES = {"MySQLdb": "mysqlclient (or name mysql+pymysql:// and install pymysql)"}
"""Distributions whose name differs from their module's."""
REMEDY = (
    "Set it to a server (http://HOST:PORT) or a database (sqlite:///PATH/mlflow.db, postgresql://...), or unset it to "
    "use the embedded record."
)


def normalised(text: str) -> str:
    """The address without what copying adds: blanks, quotes, line ends, a slash at the end, a page of the server.

    The path of an SQLite file becomes absolute, so that processes in other folders mean the same file.
    """
    uri = text.strip().strip("'\"").strip()
    if re.match(r"(?i)https?://", uri):
        scheme, _, rest = uri.partition("://")
        return f"{scheme.lower()}://{rest.partition('#')[0].rstrip('/')}"
    relative = re.match(r"sqlite:///(?!/|:memory:|file:)([^?]+)$", uri)
    return addresses.sqlite(Path(relative[1])) if relative else uri


def fault(uri: str) -> str:
    """Return the reason why a normalised address cannot name a record, with the remedy; "" if it can."""
    named = f"MLFLOW_TRACKING_URI is {redact_text(uri)!r}"
    scheme = uri.partition("://")[0].lower() if "://" in uri else uri.partition(":")[0].lower() if ":" in uri else ""
    database = scheme.partition("+")[0]
    if scheme in {"http", "https"}:
        reason = _bad_server(uri)
    elif database in DATABASES:
        reason = _bad_database(uri)
    elif scheme == "postgres":
        reason = "SQLAlchemy has no postgres://: write postgresql://"
    elif re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        reason = f"a server needs its scheme: http://{uri}"
    elif (scheme in {"", "file"} and uri != "databricks") or re.match(r"[A-Za-z]:[\\/]", uri):
        reason = "that is a folder, and MLflow no longer keeps its record in folders"
    else:
        reason = "this project can use neither a server nor a database by that name"
    return f"{named}: {reason}. {REMEDY}" if reason else ""


def _bad_server(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        return f"it is not an address ({error})"
    if not host:
        return "it names no host"
    return "it holds a blank or a control character" if re.search(r"[\s\x00-\x1f]", uri) else ""


def _bad_database(uri: str) -> str:
    """Parse it as SQLAlchemy does, and import the driver that it needs."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
        url.get_dialect().import_dbapi()
    except ImportError as error:
        module = error.name or str(error)
        if module == "psycopg2":
            return "its driver psycopg2 is not installed: pip install -r requirements-team.lock"
        return (
            f"its driver {module} is not installed, and no lock file of this project has it: pip install "
            f"{PACKAGES.get(module, module)}; requirements-team.lock has psycopg2, for postgresql://"
        )
    except (ArgumentError, ValueError):  # their messages may repeat the password
        return "SQLAlchemy cannot read it; special characters of a password are written as %XX"
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        return "a database in memory ends with its process"
    return ""
