"""Reconstruction of the project folder: recorded commit, changes and data, with all hashes checked."""

import hashlib
import json
import re
import shutil
from pathlib import Path

from ddpm import tracking
from ddpm.common import files, validation
from ddpm.data import dvc
from ddpm.provenance import git
from ddpm.registry.lineage import NOT_RECORDED, Lineage

CHECKED = {
    "code_hash": "the code (src and dvc.yaml)",
    "data_hash": "data.dvc",
    "params_hash": "params.yaml",
    "lock_hash": "requirements.lock",
}
DATA, POINTER = Path("data"), "data.dvc"


class ReproduceError(ValueError):
    """The model cannot be rebuilt; the message gives the reason and the remedy."""


def clone(repository: str, sha: str, folder: Path) -> None:
    """Clone the commit into an empty folder. Raises ReproduceError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReproduceError(f"{folder} is not empty. Choose another folder with --into, or delete it.")
    if not re.fullmatch(r"[0-9a-f]{40,64}", sha):
        raise ReproduceError(f"the record has no commit to rebuild from (git_sha: {sha})")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if message := git.failure("clone", "--quiet", "--no-checkout", "--", repository, str(folder), limit=None):
        raise ReproduceError(f"{tracking.redact_text(repository)} cannot be cloned: {message}")
    if git.failure("cat-file", "-e", f"{sha}^{{commit}}", folder=folder):
        raise ReproduceError(
            f"commit {sha} is not in {tracking.redact_text(repository)}. Fetch it there first (`git fetch --all`), or "
            "give the repository that has it: --repository"
        )
    if message := git.failure("checkout", "--quiet", "--detach", sha, folder=folder, limit=None):
        raise ReproduceError(f"commit {sha} cannot be checked out: {message}")


def apply(patch: bytes, folder: Path) -> None:
    """Apply the recorded changes. Raises ReproduceError."""
    if patch and (message := git.failure("apply", "--whitespace=nowarn", "-", folder=folder, content=patch)):
        raise ReproduceError(
            f"the recorded changes do not apply to the commit: {message}\n"
            "Credentials in addresses are removed from the record, so changes next to one cannot be restored."
        )


def check(lineage: Lineage, folder: Path) -> list[str]:
    """Compare the recorded hashes with the folder; return names of those not recorded. Raises ReproduceError."""
    if lineage.conflicts:
        raise ReproduceError(
            f"the version and its run disagree about {', '.join(lineage.conflicts)}; neither is trusted"
        )
    here = tracking.lineage(tracking.Changes(), folder)
    recorded = {name: lineage.tag(name) for name in CHECKED}
    wrong = [
        f"{title}: recorded {recorded[name]}, found {here[f'ddpm.{name}']}"
        for name, title in CHECKED.items()
        if recorded[name] not in {NOT_RECORDED, here[f"ddpm.{name}"]}
    ]
    if wrong:
        raise ReproduceError("the commit with its changes differs from the record:\n  " + "\n  ".join(wrong))
    return [CHECKED[name] for name, value in recorded.items() if value == NOT_RECORDED]


def fetch_data(folder: Path, expected: str, repository: Path | None, python: str) -> None:
    """Fetch the recorded data from the remote, or from the cache of the local `repository`, and check their hash.

    Raises ReproduceError if they are not found or have another hash.
    """
    if expected in {NOT_RECORDED, "none"}:
        return
    validation.dvc_md5(expected, "the recorded hash of the data", ReproduceError)
    if repository is not None:
        _copy_missing(repository / ".dvc" / "config.local", folder / ".dvc" / "config.local")
    message = dvc.failure("pull", "--quiet", POINTER, folder=folder, python=python)
    if message and repository is not None and _from_cache(repository / ".dvc/cache", folder / ".dvc/cache", expected):
        message = dvc.failure("checkout", "--quiet", POINTER, folder=folder, python=python)
    if message:
        raise ReproduceError(
            f"the recorded data ({expected}) are neither in a remote nor in this machine's cache. `dvc push` them from "
            f"the checkout that has them. DVC's message:\n{message}"
        )
    found = content_md5(folder / DATA)
    if found != expected:
        raise ReproduceError(f"the fetched data differ from the record: recorded {expected}, found {found}")


def content_md5(path: Path) -> str:
    """Compute DVC's hash of a file, or of a folder (`.dir`): MD5 of the sorted list of its files and their MD5s."""
    if path.is_file():
        return _md5(path)
    listed = [
        {"md5": _md5(each), "relpath": each.relative_to(path).as_posix()} for each in path.rglob("*") if each.is_file()
    ]
    text = json.dumps(sorted(listed, key=lambda each: each["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _from_cache(source: Path, target: Path, expected: str) -> bool:
    """Copy an object, and those that it lists, from one DVC cache to another; return False if any is missing."""
    wanted = [expected]
    listing = _object(source, expected)
    if expected.endswith(".dir") and listing.is_file():
        wanted += [validation.dvc_md5(each["md5"], f"a hash in {listing}") for each in files.read_json(listing)]
    if not all(_object(source, each).is_file() for each in wanted):
        return False
    for each in wanted:
        _copy_missing(_object(source, each), _object(target, each))
    return True


def _object(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def _copy_missing(source: Path, target: Path) -> None:
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
