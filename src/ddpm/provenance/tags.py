"""Lineage of a model as tags: code, changes, data, parameters and installed versions."""

from pathlib import Path

from ddpm.common import files
from ddpm.config.params import PARAMS_FILE, read_yaml
from ddpm.provenance import git
from ddpm.provenance.fingerprint import PROJECT
from ddpm.provenance.patch import NEVER, Changes, changes

LINEAGE_TAGS = (
    "mlflow.source.git.commit",
    "ddpm.git_sha",
    "ddpm.git_dirty",
    "ddpm.no_commit",
    "ddpm.patch",
    "ddpm.code_hash",
    "ddpm.data_hash",
    "ddpm.params_hash",
    "ddpm.lock_hash",
)
ABSENT = "none"


def lineage(changed: Changes | None = None, folder: Path = Path()) -> dict[str, str]:
    """Return the tags `LINEAGE_TAGS` of a folder; `none` for missing files or no repository.

    changed: result of `changes`, if known. The tree counts as dirty if any file differs from the commit, new ones
    included, except dvc.lock, which a run writes.
    """
    sha = git.text("rev-parse", "HEAD", folder=folder)
    status = git.text("status", "--porcelain", "--", ".", f":(exclude){NEVER[0]}", folder=folder)
    values = {
        "ddpm.git_sha": sha or ABSENT,
        "ddpm.git_dirty": ABSENT if status is None else str(bool(status)).lower(),
        "ddpm.patch": (changed or changes(folder)).tag,
        "ddpm.code_hash": _code_hash(folder),
        "ddpm.data_hash": _data_hash(folder / "data.dvc"),
        "ddpm.params_hash": _file_hash(folder / PARAMS_FILE),
        "ddpm.lock_hash": _file_hash(folder / "requirements.lock"),
    }
    if sha:
        values["mlflow.source.git.commit"] = sha  # MLflow's pages show this one
    else:
        values["ddpm.no_commit"] = git.trouble(folder)
    return values


def _code_hash(folder: Path) -> str:
    """Compute one hash of the package's source files and dvc.yaml."""
    paths = [folder / name for name in PROJECT if (folder / name).is_file()]
    paths += [path for name in PROJECT for path in (folder / name).rglob("*.py")]
    hashes = {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in sorted(paths)}
    return files.sha256_json(hashes) if hashes else ABSENT


def _data_hash(path: Path) -> str:
    """Return DVC's hash of the data."""
    if not path.exists():
        return ABSENT
    outs = read_yaml(path).get("outs") or [{}]
    return str(outs[0].get("md5", ABSENT))


def _file_hash(path: Path) -> str:
    return files.sha256_file(path) if path.exists() else ABSENT
