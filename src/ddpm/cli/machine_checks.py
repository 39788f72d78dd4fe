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
from ddpm.common import environment
from ddpm.common.redact import shown

LOCK = Path("requirements.lock")
NEEDED_BYTES = 2 * 2**30


def python() -> Iterator[Finding]:
    """The interpreter."""
    here = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("ok" if fits else "missing", "python", here if fits else f"{here}; use 3.11, 3.12 or 3.13")


def packages() -> Iterator[Finding]:
    """Installed versions against the lock file."""
    if not LOCK.exists():
        yield Finding("missing", "project", f"no {LOCK} here; run this in the project's folder")
        return
    wrong = []
    for name, wanted in pinned(LOCK.read_text(encoding="utf-8")):
        try:
            there = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            there = "not installed"
        if there != wanted:
            wrong.append(f"{name} {there}, not {wanted}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        yield Finding("missing", "packages", f"{'; '.join(wrong[:3])}{more}. Do: make run, or rm -rf .venv first")
    else:
        yield Finding("ok", "packages", f"as in {LOCK}")


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """Name and version of each line of a lock file that applies to this interpreter and system."""
    from packaging.requirements import Requirement

    for line in text.splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate():
                yield wanted.name, re.sub(r"^==|\+.*$", "", str(wanted.specifier))


def tools() -> Iterator[Finding]:
    """Programs that are called by name."""
    where = {"git": "install git with the system's package manager", "make": "only for make run; install make"}
    for name, remedy in where.items():
        found = shutil.which(name)
        yield Finding("ok" if found else "missing" if name == "git" else "note", name, found or remedy)
    beside = Path(sys.executable).parent / "dvc"
    if not beside.exists() and not shutil.which("dvc"):
        yield Finding("missing", "dvc", "it comes with the lock file: make run")
    if str(Path(sys.executable).parent) not in os.environ.get("PATH", "").split(os.pathsep):
        yield Finding("note", "path", "for `dvc repro` by hand: source .venv/bin/activate (make does without)")


def disk() -> Iterator[Finding]:
    """Free space."""
    free = shutil.disk_usage(".").free
    text = f"{free / 2**30:.1f} GiB free"
    yield (
        Finding("ok", "disk", text)
        if free >= NEEDED_BYTES
        else Finding("missing", "disk", f"{text}; the default run wants {NEEDED_BYTES / 2**30:.0f} GiB")
    )


def device() -> Iterator[Finding]:
    """What trains."""
    import torch

    if torch.cuda.is_available():
        yield Finding("ok", "device", f"{torch.cuda.device_count()} GPU ({torch.cuda.get_device_name(0)})")
        return
    yield Finding("ok", "device", f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if Path("/dev/nvidia0").exists():
        yield Finding("note", "device", "there is an NVIDIA GPU, but this torch is a CPU build or the driver is old")


def servers() -> Iterator[Finding]:
    """The servers that the environment names."""
    from ddpm.tracking import uri

    yield _server("prefect", os.environ.get("PREFECT_API_URL", ""), "PREFECT_API_URL")
    mlflow = uri.normalised(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if mlflow and (wrong := uri.fault(mlflow)):
        yield Finding("missing", "mlflow", wrong)
    elif mlflow and not mlflow.startswith("http"):
        yield Finding("ok", "mlflow", shown(mlflow))
    else:
        yield _server("mlflow", mlflow, "MLFLOW_TRACKING_URI")


def _server(name: str, url: str, variable: str) -> Finding:
    """Whether a server answers; an empty address is the embedded one."""
    if not url.startswith("http"):
        return Finding("ok", name, "embedded, under .state/")
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=5):  # noqa: S310 - http(s), as asked for
            return Finding("ok", name, f"{shown(url)} answers")
    except (OSError, ValueError) as error:
        text = f"{shown(url)} does not answer ({shown(str(error))}). Start it, or unset {variable}"
        return Finding("missing", name, text)


def locks() -> Iterator[Finding]:
    """Who is at work in this folder, and whether a lock of DVC names a process that has ended."""
    import json

    import psutil

    rwlock = Path(".dvc/tmp/rwlock")
    if not rwlock.exists():
        return
    try:
        content = json.loads(rwlock.read_text() or "{}")
    except ValueError:
        yield Finding("missing", "locks", f"{rwlock} is damaged; with no DVC at work, delete it")
        return
    holders = [*content.get("write", {}).values(), *(one for many in content.get("read", {}).values() for one in many)]
    for pid in sorted({holder["pid"] for holder in holders}):
        alive = psutil.pid_exists(pid) and any("dvc" in word for word in _command(pid))
        text = f"DVC is at work here (process {pid})" if alive else f"left by process {pid}; DVC removes it by itself"
        if not alive and psutil.pid_exists(pid):
            text = f"names process {pid}, which is another program now; delete {rwlock}"
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
    """A user without a name or a home, as in containers; and a folder that MLflow's own loader cannot read from."""
    if supplied := environment.supplied:
        text = f"this user lacks what {', '.join(supplied)} give; set them for `dvc` by hand, other commands do it"
        yield Finding("note", "user", text)
    if re.search(r"%[0-9A-Fa-f]{2}", os.getcwd()):
        text = "its path holds %XX, which mlflow.pyfunc.load_model decodes and then does not find; `ddpm sample` works"
        yield Finding("note", "folder", text)
