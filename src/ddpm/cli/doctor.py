"""`ddpm doctor`: what is missing on this machine, and how to get it."""

import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from ddpm.common import environment, terminal
from ddpm.common.redact import has_secret, shown

app = typer.Typer()

LOCK = Path("requirements.lock")
NEEDED_BYTES = 2 * 2**30
State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` has to be mended, `note` is only worth knowing."""

    state: State
    what: str
    text: str


@app.command()
def doctor() -> None:
    """Say what is missing on this machine and how to get it; exit status 1 when something needed is."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    styles = {"ok": "green", "note": "yellow", "missing": "bold red"}
    missing = 0
    for check in CHECKS:
        for found in check():
            missing += found.state == "missing"
            text = terminal.message(found.text)
            console.print(Text.assemble((f"{found.state:<8}", styles[found.state]), f" {found.what:<10} {text}"))
    terminal.echo(
        "Everything that is needed is here." if not missing else f"{missing} missing; the lines above say what to do."
    )
    raise typer.Exit(min(missing, 1))


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


def data() -> Iterator[Finding]:
    """The images."""
    if Path("data.dvc").exists() and has_secret(Path("data.dvc").read_text(encoding="utf-8")):
        remedy = "ddpm data use remote://NAME/PATH, with the secret in .dvc/config.local; then change the password"
        yield Finding("missing", "data", f"data.dvc holds a password, and git keeps it: {remedy}")
    if not Path("data.dvc").exists():
        yield Finding("missing", "data", "no data.dvc; ddpm data use SOURCE, or git checkout data.dvc")
    elif not Path("data").exists():
        yield Finding("note", "data", "not fetched yet; make run does it (or: dvc pull data.dvc)")
    else:
        yield Finding("ok", "data", f"{sum(1 for each in Path('data').rglob('*') if each.is_file()):,} files in data/")


def parameters() -> Iterator[Finding]:
    """params.yaml."""
    from ddpm.config import params

    try:
        settings = params.load()
    except params.ParamsError as error:
        yield Finding("missing", "params", str(error))
        return
    problems = settings.missing_files()
    for each in problems:
        yield Finding("missing", "params", each)
    if not problems:
        yield Finding("ok", "params", "params.yaml is valid")
    if not settings.promote.limited:
        yield Finding("note", "params", "no limits are set: the first model becomes champion, whatever its scores")


def scores() -> Iterator[Finding]:
    """Whether images and parameters agree on labels, and what scores the images is there."""
    from ddpm.config import params
    from ddpm.data.errors import DataError
    from ddpm.data.sources import find

    try:
        now = params.load()
    except params.ParamsError:
        return  # told by `parameters`
    if now.features.extractor == "inception" and not Path(now.features.weights or "?").is_file():
        remedy = 'pip install ".[inception]", then ddpm weights inception, then name the file in features.weights'
        yield Finding("missing", "scores", f"the weights of Inception-v3 that features.weights is to name: {remedy}")
    if not Path("data").exists():
        return
    try:
        found = find(Path("data"))
    except (DataError, OSError) as error:
        yield Finding("missing", "data", str(error))
        return
    for note in found.notes():
        yield Finding("note", "data", note)
    without = found.class_names([entry.path for entry in found.entries]).count(None)
    if now.prepare.labels == "folders" and without * 100 > len(found.entries):
        remedy = "put each class into a folder of its own, or set prepare.labels: none and score by Inception-v3"
        more = "docs/data.md, `Without labels`"
        yield Finding("missing", "labels", f"{without:,} files in data have no class: {remedy} ({more})")


def dvc_remote() -> Iterator[Finding]:
    """A default remote that the project does not name."""
    from ddpm.data import dvc_settings

    if Path(".dvc").is_dir() and (note := dvc_settings.outside_remote()):
        yield Finding("note", "dvc", note)


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


def repository() -> Iterator[Finding]:
    """The git state that a model's lineage will name."""
    from ddpm.provenance import git

    if trouble := git.trouble():
        if shutil.which("git"):  # what is not installed is among the tools
            state: State = "note" if "no commit yet" in trouble else "missing"
            yield Finding(state, "git", f"{trouble}. Until then a model has no commit on its record")
        return
    changed = git.text("status", "--porcelain")
    if changed:
        yield Finding("note", "git", f"{len(changed.splitlines())} uncommitted changes: models are marked as such")


def user() -> Iterator[Finding]:
    """A user without a name or a home, as in containers; and a folder that MLflow's own loader cannot read from."""
    if supplied := environment.supplied:
        text = f"this user lacks what {', '.join(supplied)} give; set them for `dvc` by hand, other commands do it"
        yield Finding("note", "user", text)
    if re.search(r"%[0-9A-Fa-f]{2}", os.getcwd()):
        text = "its path holds %XX, which mlflow.pyfunc.load_model decodes and then does not find; `ddpm sample` works"
        yield Finding("note", "folder", text)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python, packages, user, tools, repository, parameters, data, scores, dvc_remote, disk, device, servers, locks,
)  # fmt: skip
