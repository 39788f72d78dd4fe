"""Checks of `ddpm doctor` for this machine: interpreter, packages, tools, disk, device, servers, locks."""

import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ddpm.cli.findings import Finding
from ddpm.common import environment, units
from ddpm.common.redact import redact_text
from ddpm.runtime.hardware import bf16_instructions

LOCK = Path("requirements.lock")
NEEDED_BYTES = 2 * 2**30


def python() -> Iterator[Finding]:
    """Check the interpreter's version."""
    here = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("ok" if fits else "missing", "python", here if fits else f"{here}; use 3.11, 3.12 or 3.13")


def packages() -> Iterator[Finding]:
    """Compare installed versions with the lock file."""
    if not LOCK.exists():
        yield Finding("missing", "project", f"no {LOCK} here; run this in the project folder")
        return
    wrong = []
    for name, wanted in pinned(LOCK.read_text(encoding="utf-8")):
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != wanted:
            wrong.append(f"{name} {installed}, not {wanted}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        text = f"{'; '.join(wrong[:3])}{more}. Run `make run`; if that does not help, `rm -rf .venv` first"
        yield Finding("missing", "packages", text)
    else:
        yield Finding("ok", "packages", f"as in {LOCK}")


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of each lock file line that applies to this interpreter and system."""
    from packaging.requirements import Requirement

    for line in text.splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate():
                yield wanted.name, re.sub(r"^==|\+.*$", "", str(wanted.specifier))


def tools() -> Iterator[Finding]:
    """Check for programs that are called by name."""
    remedies = {"git": "install git with the system's package manager", "make": "only for make run; install make"}
    for name, remedy in remedies.items():
        found = shutil.which(name)
        yield Finding("ok" if found else "missing" if name == "git" else "note", name, found or remedy)
    own_dvc = Path(sys.executable).parent / "dvc"
    if not own_dvc.exists() and not shutil.which("dvc"):
        yield Finding("missing", "dvc", "not installed; `make run` installs it")
    if str(Path(sys.executable).parent) not in os.environ.get("PATH", "").split(os.pathsep):
        yield Finding("note", "path", "to run `dvc repro` directly: source .venv/bin/activate (make does not need it)")


def disk() -> Iterator[Finding]:
    """Check the free disk space."""
    free = shutil.disk_usage(".").free
    text = f"{units.size(free)} free"
    yield (
        Finding("ok", "disk", text)
        if free >= NEEDED_BYTES
        else Finding("missing", "disk", f"{text}; the default run needs {units.size(NEEDED_BYTES)}")
    )


def device() -> Iterator[Finding]:
    """Report the training device."""
    import torch

    if torch.cuda.is_available():
        yield Finding("ok", "device", f"{torch.cuda.device_count()} GPU ({torch.cuda.get_device_name(0)})")
        return
    count = torch.get_num_threads()
    threads = f"{count} thread{'' if count == 1 else 's'}"
    yield Finding("ok", "device", f"CPU, {threads}, torch {torch.__version__}")
    if Path("/dev/nvidia0").exists():
        text = "an NVIDIA GPU is present, but this torch is a CPU build or the driver is too old"
        yield Finding("note", "device", text)
    if name := bf16_instructions():
        text = f"this CPU has {name}: train.precision: bf16 trains some networks faster than fp32; time both"
        yield Finding("note", "device", text)


def servers() -> Iterator[Finding]:
    """Check the servers named by the environment."""
    from ddpm.tracking import uri

    yield _server("prefect", os.environ.get("PREFECT_API_URL", ""), "PREFECT_API_URL")
    mlflow = uri.normalised(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if mlflow and (wrong := uri.fault(mlflow)):
        yield Finding("missing", "mlflow", wrong)
    elif mlflow and not mlflow.startswith("http"):
        yield Finding("ok", "mlflow", redact_text(mlflow))
    else:
        yield _server("mlflow", mlflow, "MLFLOW_TRACKING_URI")


def _server(name: str, url: str, variable: str) -> Finding:
    """Check that a server answers; without an http(s) address it is the embedded one."""
    if not url.startswith("http"):
        return Finding("ok", name, "embedded, under .state/")
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=5):  # noqa: S310 - http(s), checked above
            return Finding("ok", name, f"{redact_text(url)} answers")
    except (OSError, ValueError) as error:
        text = f"{redact_text(url)} does not answer ({redact_text(str(error))}). Start it, or unset {variable}"
        return Finding("missing", name, text)


def locks() -> Iterator[Finding]:
    """Report DVC processes that hold locks in this folder, and locks of processes that have ended."""
    import json

    import psutil

    rwlock = Path(".dvc/tmp/rwlock")
    if not rwlock.exists():
        return
    try:
        content = json.loads(rwlock.read_text() or "{}")
    except ValueError:
        yield Finding("missing", "locks", f"{rwlock} is damaged; delete it while DVC is not running")
        return
    holders = [*content.get("write", {}).values(), *(one for many in content.get("read", {}).values() for one in many)]
    for pid in sorted({holder["pid"] for holder in holders}):
        alive = psutil.pid_exists(pid) and any("dvc" in word for word in _command(pid))
        text = f"DVC is running here (process {pid})" if alive else f"left by process {pid}; DVC removes it itself"
        if not alive and psutil.pid_exists(pid):
            text = f"names process {pid}, which now is another program; delete {rwlock}"
            yield Finding("missing", "locks", text)
        else:
            yield Finding("note", "locks", text)


def _command(pid: int) -> list[str]:
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def user() -> Iterator[Finding]:
    """Report a user without a name or home, as in containers, and a path that MLflow's loader cannot read."""
    if supplied := environment.supplied:
        text = (
            f"this user has no name or home; to run `dvc` directly, set {', '.join(supplied)} (ddpm sets them itself)"
        )
        yield Finding("note", "user", text)
    if re.search(r"%[0-9A-Fa-f]{2}", os.getcwd()):
        text = "the path contains %XX, which mlflow.pyfunc.load_model decodes, so it fails; `ddpm sample` works"
        yield Finding("note", "folder", text)
