"""`python -m flows.ui` (`make ui`): MLflow's and Prefect's pages on 127.0.0.1 until Ctrl-C."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from types import FrameType

from flows import process, server

PATIENCE = 120.0


def main() -> None:
    """Start what does not run yet, print the addresses, wait, and stop what was started."""
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description=__doc__)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--prefect-port", type=int, default=server.PORT)
    chosen = parser.parse_args()
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        with contextlib.ExitStack() as pages:
            serve(pages, chosen.mlflow_port, chosen.prefect_port, ended)
    except server.ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print("ui: stopped")


def serve(pages: contextlib.ExitStack, mlflow_port: int, prefect_port: int, ended: threading.Event) -> None:
    """Both pages, until `ended`."""
    prefect = server.find()
    if prefect is None:
        require_free(prefect_port, "PREFECT_PORT")
        prefect = server.connect(prefect_port)
        pages.enter_context(server.announced(prefect))
    mlflow, own = mlflow_server(mlflow_port)
    if own:
        pages.callback(stop, own)
    prefect.wait()
    if own:
        wait_for(mlflow, own)
    print(f"  Prefect  {prefect.page}   flow runs, states, logs, artifacts")
    print(f"  MLflow   {mlflow}   trainings, metrics, pictures, registered versions")
    print("  Ctrl-C stops both.", flush=True)
    while not ended.wait(1):
        for name, child in (("Prefect", prefect.own), ("MLflow", own)):
            if child and child.poll() is not None:
                raise server.ServerError(f"{name}'s server ended by itself; see the logs under .state")


def mlflow_server(port: int) -> tuple[str, subprocess.Popen[str] | None]:
    """The address of MLflow's page, and the server's process if it had to be started."""
    from ddpm import tracking
    from ddpm.tracking import store

    uri = tracking.tracking_uri()
    if uri.startswith("http"):
        return tracking.shown(uri), None
    require_free(port, "MLFLOW_PORT")
    tracking.client()  # creates the database
    log = store.EMBEDDED / "server.log"
    options = {
        "--host": server.HOST,
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": uri,
        "--default-artifact-root": store.artifact_root().as_uri(),
    }
    own = str(os.path.dirname(sys.executable))
    with log.open("w") as output:
        child = subprocess.Popen(
            process.child("mlflow", "server", *(word for pair in options.items() for word in pair)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PATH": own + os.pathsep + os.environ.get("PATH", "")},  # MLflow looks for uvicorn there
            text=True,
        )
    return f"http://{server.HOST}:{port}", child


def wait_for(address: str, child: subprocess.Popen[str]) -> None:
    """Return when the page answers. Raises ServerError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), opener.open(f"{address}/health", timeout=2):
            return
        time.sleep(0.1)
    raise server.ServerError("MLflow's server did not start. Its log: .state/mlflow/server.log")


def stop(child: subprocess.Popen[str]) -> None:
    """End a server with all its workers."""
    process.stop(child, grace=5)


def require_free(port: int, variable: str) -> None:
    """Raises ServerError when something listens at the port already."""
    if not server.free(port):
        raise server.ServerError(f"port {port} is taken. Choose another: make ui {variable}={port + 1}")


if __name__ == "__main__":
    main()
