"""Addresses in the form that other programs expect: database URLs, and hosts that bypass proxies."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import quote

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine, in the form that httpx, requests, urllib and websockets all accept."""


def sqlite(path: Path, driver: str = "sqlite") -> str:
    """The SQLAlchemy URL of an SQLite file.

    SQLAlchemy reads a path literally up to the first `?`. A path with one is passed to SQLite as a `file:` URI instead,
    and its driver is named, because MLflow would create a folder from the text after a bare `sqlite:///`.
    """
    absolute = os.path.abspath(path)
    if "?" not in absolute:
        return f"{driver}:///{absolute}"
    return f"{driver if '+' in driver else 'sqlite+pysqlite'}:///file:{quote(absolute)}?uri=true"


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add this machine to NO_PROXY and no_proxy, because clients differ in which of them they read.

    A present `*`, which switches all proxies off, is kept. Without a proxy, nothing changes. A SOCKS proxy in ALL_PROXY
    is removed: httpx cannot use it without another package, and fails even for hosts that bypass it.
    """
    if not any(environment.get(name) for name in (*_PROXIES, *map(str.lower, _PROXIES))):
        return
    listed = ",".join(filter(None, (environment.get(name, "").strip() for name in ("NO_PROXY", "no_proxy"))))
    hosts = list(dict.fromkeys(host for host in (each.strip() for each in listed.split(",")) if host))
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    for name in ("ALL_PROXY", "all_proxy"):
        if environment.get(name, "").startswith("socks"):
            del environment[name]
    environment["NO_PROXY"] = environment["no_proxy"] = "*" if "*" in hosts else ",".join(hosts)


_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY")
