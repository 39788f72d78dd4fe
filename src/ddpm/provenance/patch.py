"""The uncommitted changes as a patch to keep with a run: changed and new files, without secrets.

The repository is not modified: the patch is made with a temporary index and object store.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ddpm.common import files, units
from ddpm.provenance import git

LARGEST = 10 * 2**20
"""Bytes of new files, and of the whole patch."""
NEVER = (
    "dvc.lock", "**/.env*", "**/.netrc", "**/.pgpass", "**/.git-credentials", "**/.npmrc", "**/.pypirc", "**/.aws/**",
    "**/*.pem", "**/*.key", "**/*.p12", "**/*.pfx", "**/id_rsa*", "**/id_ed25519*", "**/id_ecdsa*", "**/*.local",
    "**/credentials", "**/credentials.json", "**/secrets/**",
)  # fmt: skip
"""Never included: files that a run writes, and files that usually hold secrets, ignored by git or not."""
CREDENTIALS = re.compile(rb"(?<=://)[^\s/\"'<>{}$]+@")
"""User and password of an address, but not a placeholder such as {user} in an f-string."""
TOKENS = re.compile(rb"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|glpat-[A-Za-z0-9_-]{20,}|xox[abp]-[A-Za-z0-9-]{10,}")
SETTINGS = re.compile(rb"(?m)^diff --git a/(?:\S*/)?\.dvc/config .*$(?:\n(?!diff --git ).*)*")
"""Changes of `.dvc/config`, which git tracks."""
SETTING = re.compile(
    rb"(?im)^(\+\s*(?:\w*password|\w*secret\w*|\w*token|\w*key\w*|connection_string|custom_auth_header)[ ]*=[ ]*)\S.*$"
)


@dataclass(frozen=True)
class Changes:
    """A patch (empty for a clean tree). refused: reason if there is none. hidden: number of secrets removed."""

    content: bytes = b""
    refused: str = ""
    hidden: int = 0

    @property
    def tag(self) -> str:
        """Value of the tag `ddpm.patch`: the patch's SHA-256, `none`, or the reason why it is not kept."""
        if self.refused:
            return f"not kept: {self.refused}"
        return files.sha256_bytes(self.content) if self.content else "none"


def changes(folder: Path = Path()) -> Changes:
    """Collect the changes since the last commit of the repository at `folder`, with new files that git does not ignore.

    Raises ValueError if git fails.
    """
    listed = git.output("ls-files", "--others", "--exclude-standard", "-z", "--", *_wanted(), folder=folder)
    if listed is None or git.output("rev-parse", "HEAD", folder=folder) is None:
        return Changes()
    new = [folder / name for name in os.fsdecode(listed).split("\0") if name]
    size = sum(path.lstat().st_size for path in new if path.exists())
    if size > LARGEST:
        return Changes(
            refused=f"new files that git does not ignore have {units.size(size)}, more than {units.size(LARGEST)}"
        )
    patch = _patch(folder)
    if len(patch) > LARGEST:
        return Changes(
            refused=f"the changes since the last commit have {units.size(len(patch))}, more than {units.size(LARGEST)}"
        )
    return Changes(*_without_secrets(patch))


def _patch(folder: Path) -> bytes:
    """Make the patch against HEAD, binary files in full. Raises ValueError if git fails."""
    objects = git.output("rev-parse", "--git-path", "objects", folder=folder) or b""
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "objects").mkdir()
        own = {
            "GIT_INDEX_FILE": f"{temporary}/index",
            "GIT_OBJECT_DIRECTORY": f"{temporary}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((folder / os.fsdecode(objects.strip())).resolve()),
        }
        wanted = ("--", *_wanted())
        plain = ("--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        read = git.output("read-tree", "HEAD", folder=folder, variables=own)
        added = git.output("add", "--all", *wanted, folder=folder, variables=own)
        patch = git.output("diff", "--cached", *plain, *prefixes, "HEAD", *wanted, folder=folder, variables=own)
    if read is None or added is None or patch is None:
        raise ValueError("git cannot compare with the last commit; see `git status` and `git add --all -n`")
    return patch


def _wanted() -> list[str]:
    return [".", *(f":(exclude,glob){name}" for name in NEVER)]


def _without_secrets(patch: bytes) -> tuple[bytes, str, int]:
    """Remove credentials and tokens from the patch; return it, no refusal, and their number."""
    settings = 0

    def without(found: re.Match[bytes]) -> bytes:
        nonlocal settings
        text, count = SETTING.subn(rb"\1REMOVED", found[0])
        settings += count
        return text

    patch, addresses = CREDENTIALS.subn(b"", patch)
    patch, tokens = TOKENS.subn(b"REMOVED", patch)
    return SETTINGS.sub(without, patch), "", addresses + tokens + settings
