"""`python -m flows.service.server_process NAME APPLICATION`: serve Prefect's or MLflow's application behind a guard.

`launch` starts it with a socket that already listens, so all connections to that address reach this process.
"""

import argparse
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flows import ROOT, processes
from flows.service.guard import Guard, GuardConfig

CONFIG = "DDPM_GUARD"
SOCKET = "DDPM_SOCKET"


def launch(
    application: str, config: GuardConfig, listening: socket.socket, log_file: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    """Start the process. application: `module:name` of an ASGI application, or `module:name()` of its factory."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Not as arguments, because command lines are public.
    own = {"PYTHONPATH": path, CONFIG: config.to_json(), SOCKET: str(listening.fileno())}
    command = processes.module_command("flows.service.server_process", config.name, application)
    return processes.launch(command, log_file, {**os.environ, **environment, **own}, pass_fds=[listening.fileno()])


def main(application: str) -> None:
    """Serve until SIGINT or SIGTERM."""
    import uvicorn
    from uvicorn.importer import import_from_string

    config = GuardConfig.from_json(os.environ.pop(CONFIG))
    listening = socket.socket(fileno=int(os.environ.pop(SOCKET)))
    app = import_from_string(application.removesuffix("()"))
    guard = Guard(app() if application.endswith("()") else app, config)
    options = uvicorn.Config(guard, log_level="warning", proxy_headers=False, server_header=False)
    uvicorn.Server(options).run(sockets=[listening])


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m flows.service.server_process", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="of the server, shown in process lists")
    parser.add_argument("application", metavar="APPLICATION", help="`module:name`, or `module:name()` of a factory")
    main(parser.parse_args().application)
