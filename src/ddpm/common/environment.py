"""The environment that libraries need: no proxy to this machine, a user name, and a writable home."""

import getpass
import os
from collections.abc import MutableMapping
from pathlib import Path

from ddpm.common import addresses

OWN_HOME = Path(".state/home")
supplied: list[str] = []
"""Variables that `complete` has set because they were missing, for `ddpm doctor`."""


def complete(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set missing variables for this process and its children; idempotent.

    In a container, the user is often a bare number, and DVC, Prefect and matplotlib fail without a name and a home.
    """
    addresses.bypass_proxies(environment)
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        environment["LOGNAME"] = f"uid{os.getuid()}"
        supplied.append("LOGNAME")
    home = Path(os.path.expanduser("~") if environment.get("HOME") != "" else "")
    own = OWN_HOME.absolute()
    if not home.is_absolute() or not home.is_dir():
        _supply(environment, {"HOME": own}, own)
    elif not os.access(home, os.W_OK):
        _supply(environment, {"MPLCONFIGDIR": own / "matplotlib", "XDG_CACHE_HOME": own / ".cache"}, own)


def _supply(environment: MutableMapping[str, str], folders: dict[str, Path], own: Path) -> None:
    """Set variables to writable folders of the project; does nothing if the project is not writable either."""
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    for name, folder in folders.items():
        if name == "HOME" or not environment.get(name):
            environment[name] = str(folder)
            supplied.append(name)
