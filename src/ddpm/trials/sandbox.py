"""The sandbox: a copy of the project in which trials run, with the project's cache, checkpoints and record."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ddpm.common import files, yaml_file
from ddpm.config import changes as config_changes
from ddpm.data import dvc
from ddpm.provenance import checkout, git
from ddpm.provenance import patch as patches
from ddpm.reproduce import checkout as clones
from ddpm.trials import records

FOLDER = Path(*checkout.EXPERIMENTS, "trials")
MADE = records.FOLDER / "sandbox.json"
"""What the sandbox was made from; written last, so that a half-made one is made again."""
NAMED_FILES = (("features", "weights"), ("train", "initial"), ("sample", "guide"))
"""Parameters that name files, which git and DVC may not have."""
CACHE_TYPES = "reflink,hardlink,copy"
"""Links save copying the data. Symbolic links are refused when images are read."""
KEPT_LINES = 12
Log = Callable[[str], None]


class TrialError(ValueError):
    """A trial cannot run or has failed; the message gives the reason and the remedy."""


class Done(Protocol):
    """The end of a command: exit status and last lines."""

    @property
    def code(self) -> int: ...

    @property
    def lines(self) -> tuple[str, ...]: ...


class Execute(Protocol):
    """Runs `python -m MODULE ARGUMENTS` in a folder as a process that ends with this one, logging each line."""

    def __call__(  # noqa: D102
        self, module: str, *arguments: str, log: Log, folder: Path, environment: Mapping[str, str]
    ) -> Done: ...


@dataclass(frozen=True)
class Sandbox:
    """The copy, and the function that runs commands in it."""

    folder: Path
    commit: str
    execute: Execute

    def run(self, module: str, *arguments: str, log: Log) -> Done:
        """Run a module of Python in the sandbox, with the sandbox's code."""
        return self.execute(module, *arguments, log=log, folder=self.folder, environment=_environment(self.folder))

    def dvc(self, *arguments: str, log: Log) -> Done:
        """Run DVC in the sandbox."""
        return self.run("dvc", *arguments, log=log)

    def write_params(self, values: Mapping[str, Any]) -> None:
        """Write params.yaml with these values, keeping the comments."""
        path = self.folder / "params.yaml"
        text = yaml_file.decode(path.read_bytes(), "params.yaml")
        before = yaml_file.parse(text, "params.yaml")
        changes = {
            f"{section}.{key}": value
            for section, keys in values.items()
            for key, value in keys.items()
            if before.get(section, {}).get(key, ...) != value
        }
        files.write_text(path, config_changes.in_text(text, changes))
        for section, key in NAMED_FILES:
            _link_named(str(values[section].get(key) or ""), self.folder)

    def save_experiment(self, name: str, log: Log) -> None:
        """Save the sandbox's state as a DVC experiment of the project. Raises TrialError."""
        _require(self.dvc("exp", "save", "--quiet", "--force", "--name", name, log=log), "`dvc exp save`")
        ref = experiment_ref(self.commit, name)
        if why := git.failure("fetch", "--quiet", "--no-tags", "--", str(self.folder.resolve()), f"+{ref}:{ref}"):
            raise TrialError(f"the experiment {name} cannot be fetched from {self.folder}: {why}")


def experiment_ref(commit: str, name: str) -> str:
    """Return the git ref of DVC's experiment `name` whose baseline is `commit`."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def remove_experiment(name: str) -> None:
    """Remove DVC's experiments of this name from the project."""
    listed = git.text("for-each-ref", "--format=%(refname)", "refs/exps") or ""
    for ref in listed.splitlines():
        if re.fullmatch(rf"refs/exps/[0-9a-f]{{2}}/[0-9a-f]{{38,62}}/{re.escape(name)}", ref):
            git.require("update-ref", "-d", ref)


def prepare(execute: Execute, log: Log) -> Sandbox:
    """Make the sandbox, or reuse one that was made from the same commit, uncommitted changes and data.

    Raises TrialError if git or DVC cannot copy the project.
    """
    if why := git.trouble():
        raise TrialError(f"a trial starts from a commit, and {why}.")
    if git.text("rev-parse", "--show-prefix"):
        raise TrialError("the project is a folder inside another git repository; trials need it at the top.")
    changed = patches.changes()
    if changed.refused:
        raise TrialError(f"the project cannot be copied: {changed.refused}. Commit or ignore them.")
    commit = git.require("rev-parse", "HEAD")
    made_from = {"commit": commit, "patch": changed.tag, "data": _hash("data.dvc"), "local": _hash(".dvc/config.local")}
    found = Sandbox(FOLDER, commit, execute)
    if FOLDER.is_dir() and MADE.is_file() and files.read_json(MADE) == made_from:
        # Of a killed `ddpm try`: its processes ended with it, but DVC takes one that nobody has reaped for alive.
        files.remove(FOLDER / ".dvc/tmp/rwlock")
        return found
    log("copying the project")
    MADE.unlink(missing_ok=True)
    files.remove(FOLDER)
    clones.clone(str(Path.cwd()), commit, FOLDER)
    clones.apply(changed.content, FOLDER)
    (FOLDER / checkout.STATE).symlink_to(checkout.STATE.resolve(), target_is_directory=True)
    _share_cache(found, log)
    _fetch_data(found, log)
    files.write_json(MADE, made_from)
    return found


def _share_cache(sandbox: Sandbox, log: Log) -> None:
    """Use the project's cache and remotes, and start from the project's dvc.lock."""
    for name in (".dvc/config.local", "dvc.lock"):
        files.remove(sandbox.folder / name)
        if Path(name).is_file():
            shutil.copyfile(name, sandbox.folder / name)
    found = sandbox.execute("dvc", "cache", "dir", log=lambda line: None, folder=Path(), environment=_environment())
    _require(found, "`dvc cache dir`")
    for key, value in (("cache.dir", str(Path(found.lines[-1]).resolve())), ("cache.type", CACHE_TYPES)):
        _require(sandbox.dvc("config", "--quiet", "--local", key, value, log=log), "`dvc config`")


def _fetch_data(sandbox: Sandbox, log: Log) -> None:
    """Check out the data from the cache, else from their remote. Raises TrialError."""
    if not Path("data.dvc").is_file() or sandbox.dvc("checkout", "--quiet", "data.dvc", log=lambda _: None).code == 0:
        return
    done = sandbox.dvc("pull", "--quiet", "data.dvc", log=lambda _: None)
    if done.code:
        raise TrialError(
            f"the data that data.dvc names are not in the cache; `dvc repro` adds them. {last_lines(done.lines)}"
        )


def _link_named(name: str, folder: Path) -> None:
    """Link a file that a parameter names, if the copy lacks it and the project has it."""
    target = folder / name
    if name and not Path(name).is_absolute() and Path(name).exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(name).resolve())


def _environment(folder: Path | None = None) -> dict[str, str]:
    """The environment of DVC and the stages: the copy's own code, and an author for DVC's commits."""
    found = dvc.environment()
    for role in ("AUTHOR", "COMMITTER"):
        for key, other in (("NAME", "ddpm"), ("EMAIL", "ddpm@localhost")):
            found.setdefault(f"GIT_{role}_{key}", git.text("config", f"user.{key.lower()}") or other)
    if folder is not None:
        others = os.environ.get("PYTHONPATH")
        found["PYTHONPATH"] = os.pathsep.join([str((folder / "src").resolve()), *([others] if others else [])])
    return found


def last_lines(lines: Sequence[str]) -> str:
    """Quote the last lines of a failed command, without DVC's chatter."""
    last = [line for line in dvc.message_lines(lines) if not dvc.ADVERTISEMENT.match(line)][-KEPT_LINES:]
    return "Its last lines:\n" + "\n".join(f"  {line}" for line in last)


def _require(done: Done, what: str) -> None:
    if done.code:
        raise TrialError(f"{what} failed in {FOLDER}. {last_lines(done.lines)}")


def _hash(name: str) -> str:
    with suppress(FileNotFoundError):
        return files.sha256_file(Path(name))
    return "none"


__all__ = ["FOLDER", "Execute", "Sandbox", "TrialError", "experiment_ref", "last_lines", "prepare", "remove_experiment"]
