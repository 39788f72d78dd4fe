"""Where a model comes from: code, data, parameters and installed versions, as tags."""

import os
import subprocess
from pathlib import Path

from ddpm import files
from ddpm.params import PARAMS_FILE, read_yaml

LINEAGE_TAGS = (
    "mlflow.source.git.commit",
    "ddpm.git_sha",
    "ddpm.git_dirty",
    "ddpm.data_hash",
    "ddpm.params_hash",
    "ddpm.lock_hash",
)
ABSENT = "none"


def lineage() -> dict[str, str]:
    """The tags `LINEAGE_TAGS` of the current folder; `none` where there is no such thing.

    The tree counts as dirty when any file differs from the commit, new ones included; dvc.lock is left out because
    a run writes it.
    """
    sha = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", ":(exclude)dvc.lock")
    values = {
        "ddpm.git_sha": sha or ABSENT,
        "ddpm.git_dirty": ABSENT if changes is None else str(bool(changes)).lower(),
        "ddpm.data_hash": _data_hash(Path("data.dvc")),
        "ddpm.params_hash": _file_hash(PARAMS_FILE),
        "ddpm.lock_hash": _file_hash(Path("requirements.lock")),
    }
    if sha:
        values["mlflow.source.git.commit"] = sha  # MLflow's pages show this one
    return values


def _git(*arguments: str) -> str | None:
    """What git answers, or None outside a repository (or without a commit, or without git)."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
        )
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _data_hash(path: Path) -> str:
    """The hash that DVC gave the data."""
    if not path.exists():
        return ABSENT
    outs = read_yaml(path).get("outs") or [{}]
    return str(outs[0].get("md5", ABSENT))


def _file_hash(path: Path) -> str:
    return files.sha256_file(path) if path.exists() else ABSENT
