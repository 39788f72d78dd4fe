"""Addresses as other programs read them: paths inside URLs, and what must not pass through a proxy."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import quote

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts of this machine, in the form that httpx, requests, urllib and websockets all understand."""


def sqlite(path: Path, driver: str = "sqlite") -> str:
    """The SQLAlchemy URL of an SQLite file.

    SQLAlchemy reads a path literally up to the first `?`; such a path is passed to SQLite as a `file:` URI instead,
    with the driver named, because MLflow would make a folder of the text after a bare `sqlite:///`.
    """
    absolute = os.path.abspath(path)
    if "?" not in absolute:
        return f"{driver}:///{absolute}"
    return f"{driver if '+' in driver else 'sqlite+pysqlite'}:///file:{quote(absolute)}?uri=true"


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add this machine to NO_PROXY, in both spellings: clients differ in which of them they read.

    `*`, which switches every proxy off, is kept. Without a proxy nothing changes. A SOCKS proxy for everything is
    dropped: httpx cannot use it without another package, and fails at once even where the proxy would not be asked.
    """
    if not any(environment.get(name) for name in (*_PROXIES, *map(str.lower, _PROXIES))):
        return
    known = ",".join(filter(None, (environment.get(name, "").strip() for name in ("NO_PROXY", "no_proxy"))))
    hosts = list(dict.fromkeys(host for host in (each.strip() for each in known.split(",")) if host))
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    for name in ("ALL_PROXY", "all_proxy"):
        if environment.get(name, "").startswith("socks"):
            del environment[name]
    environment["NO_PROXY"] = environment["no_proxy"] = "*" if "*" in hosts else ",".join(hosts)


_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY")
