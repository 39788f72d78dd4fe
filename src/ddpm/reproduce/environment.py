"""The Python environment of a rebuild: a new one from the recorded lock file, or an existing equal one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ddpm.registry.lineage import NOT_RECORDED
from ddpm.reproduce.checkout import ReproduceError

LOCK = "requirements.lock"
COMPARE = """\
import json, re, sys
from importlib import metadata
from packaging.requirements import Requirement
wrong = []
for line in open(sys.argv[1], encoding="utf-8"):
    if line.strip() and not line.startswith("#"):
        wanted = Requirement(line.strip())
        if wanted.marker is None or wanted.marker.evaluate():
            try:
                there = metadata.version(wanted.name).split("+")[0]
            except metadata.PackageNotFoundError:
                there = "missing"
            pinned = re.sub(r"^==|[+].*$", "", str(wanted.specifier))
            if there != pinned:
                wrong.append(f"{wanted.name} {there}, not {pinned}")
print(json.dumps(wrong))
"""


def present(python: str, folder: Path) -> str:
    """Return the interpreter if its packages match the folder's lock file. Raises ReproduceError."""
    lock = folder / LOCK
    if not lock.exists():
        return python
    try:
        done = subprocess.run(
            [python, "-c", COMPARE, str(lock.resolve())], capture_output=True, text=True, check=False, cwd=folder
        )
    except OSError as error:
        raise ReproduceError(f"{python} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise ReproduceError(f"{python} cannot list its installed packages: {done.stderr.strip()[-300:]}")
    wrong = json.loads(done.stdout)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ReproduceError(
            f"this environment differs from the recorded lock file: {'; '.join(wrong[:3])}{more}. "
            "Omit --here and --python to install one from the lock file."
        )
    return python


def new_environment(folder: Path, recorded_python: str) -> str:
    """Make `.venv` in the folder from its lock file; return its interpreter. Raises ReproduceError."""
    environment = folder / ".venv"
    log = folder / ".state" / "install.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    python = environment / "bin" / "python"
    commands = [[_interpreter(recorded_python), "-m", "venv", str(environment.resolve())]]
    if (folder / LOCK).exists():
        install = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r", LOCK]
        commands.append([str(python.absolute()), *install])
    for command in commands:
        with log.open("ab") as output:
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-6:])
            raise ReproduceError(f"no environment could be made from {LOCK}; full log in {log}:\n{last}")
    return str(python.absolute())


def _interpreter(recorded: str) -> str:
    """Find this Python, or one on the path with the recorded major and minor version. Raises ReproduceError."""
    wanted = ".".join(recorded.split(".")[:2])
    if recorded == NOT_RECORDED or wanted == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    found = shutil.which(f"python{wanted}", path=os.environ.get("PATH"))
    if not found:
        raise ReproduceError(
            f"it was trained with Python {recorded}, but python{wanted} is not on the path. Install it."
        )
    return found
