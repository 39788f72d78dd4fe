"""What a retraining leaves in git: data.dvc and dvc.lock as a commit on a branch of its own, pushed for others.

The commit is made by git's plumbing with an index of its own, so that nobody's index, files or HEAD is touched, however
dirty they are. Its SHA goes onto the registered version. Pushing, which needs others, comes last: what could not be
pushed is owed, and the next run tries again.
"""

import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from ddpm import tracking
from ddpm.common import files
from ddpm.data import pointer
from ddpm.provenance import git
from ddpm.provenance.patch import CREDENTIALS
from flows import process, stage
from flows.console import reporter
from flows.source import Say

KEPT = ("data.dvc", "dvc.lock", "params.yaml", "dvc.yaml")
"""What says, beside the code, which model this is. Other changes of the tree are a person's: they stay theirs."""
OWED = Path(".state/owed.json")
COMMIT_TAG = "ddpm.commit"
EMBEDDED_STORE = Path("assets/dvcstore")
PUSH_SECONDS = 600.0


class BranchError(git.GitError):
    """git cannot keep what a retraining made; the message says why and what to do."""


def uncommitted() -> tuple[str, ...]:
    """Which of `KEPT` differ from the last commit, or are not in it; none where there is no git."""
    return tuple(name for name in KEPT if git.text("status", "--porcelain", "--", name))


def check(branch: str) -> None:
    """Say before any work what would stop the commit at its end. Raises BranchError."""
    if not branch or git.text("rev-parse", "HEAD") is None:
        return
    if git.text("check-ref-format", "--branch", branch) is None:
        raise BranchError(f"flow.branch in params.yaml: git does not take {branch!r} as the name of a branch")
    if f"branch refs/heads/{branch}" in (git.text("worktree", "list", "--porcelain") or "").splitlines():
        raise BranchError(
            f"the branch {branch} is checked out, and a run commits to no branch that somebody works on. Check out "
            f"another (`git switch main`), or name another in params.yaml: flow.branch"
        )
    for name in KEPT:
        if Path(name).exists() and CREDENTIALS.search(Path(name).read_bytes()):
            raise BranchError(
                f"{name} has an address with credentials, which must not get into git. Put them into DVC's local "
                "configuration: dvc remote modify --local"
            )


@task(cache_policy=NO_CACHE, persist_result=False)
def keep(branch: str, name: str, number: int, run_id: str) -> Any:
    """Commit the state of the pipeline to the branch, once per content, and note the SHA on the version.

    A version that was registered before keeps the commit that it was made from.
    """
    if not branch or git.text("rev-parse", "HEAD") is None:
        why = "no commit: flow.branch is empty" if not branch else "no commit: this folder is under no git, or has none"
        return _ended("commit", "Skipped", why)
    sha, new = commit(branch, _message(name, number, run_id))
    files.write_json(OWED, {"branch": branch})
    _note(name, number, sha)
    text = f"{sha[:12]} on the branch {branch}" + ("" if new else ", as before")
    return _ended("commit", "Completed" if new else "Cached", text)


def commit(branch: str, message: str) -> tuple[str, bool]:
    """The commit of `branch` that holds HEAD's tree with `KEPT` as they are now, and whether it had to be made.

    Its parents are HEAD and the branch's tip, as it is here and as the remote last had it, without those that another
    of them holds already. Raises BranchError: the branch is checked out, or moved meanwhile.
    """
    check(branch)
    here, tree = _tip(f"refs/heads/{branch}"), _tree()
    remote = _remote()
    tips = [here, _tip(f"refs/remotes/{remote}/{branch}") if remote else "", git.require("rev-parse", "HEAD")]
    return _advance(branch, here, tree, tips, message)


def _advance(branch: str, here: str, tree: str, tips: list[str], message: str) -> tuple[str, bool]:
    """Move the branch from `here` ("": it does not exist) to a commit of `tree` that holds all `tips`."""
    known = [tip for tip in dict.fromkeys(tips) if tip]
    heads = set(git.require("merge-base", "--independent", *known).split())
    parents = [tip for tip in known if tip in heads]
    new = len(parents) > 1 or git.require("rev-parse", f"{parents[0]}^{{tree}}") != tree
    sha = parents[0]
    if new:
        named = [word for parent in parents for word in ("-p", parent)]
        sha = git.require("commit-tree", tree, *named, "-m", message, variables=_identity())
    if sha != here:
        git.require("update-ref", "-m", "retrain", f"refs/heads/{branch}", sha, here)
    return sha, new


def _tree() -> str:
    """HEAD's tree with the files `KEPT` of the folder, made with an index of its own."""
    prefix = git.require("rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory() as temporary:
        own = {"GIT_INDEX_FILE": f"{temporary}/index"}
        git.require("read-tree", "HEAD", variables=own)
        for name in KEPT:
            if Path(name).exists():
                blob = git.require("hash-object", "-w", "--", name)
                git.require("update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{name}", variables=own)
        return git.require("write-tree", variables=own)


def _message(name: str, number: int, run_id: str) -> str:
    """What `git log` says."""
    named = git.text("status", "--porcelain", "--", ".", *(f":(exclude){each}" for each in KEPT))
    lines = [f"Retrained: {name} version {number}", "", f"MLflow run {run_id}"]
    if named:
        lines.append("Other files differ from the last commit as well: the run has their patch, this commit does not.")
    return "\n".join(lines)


def _note(name: str, number: int, sha: str) -> None:
    """The commit on the version, unless it has one."""
    from ddpm import registry

    if COMMIT_TAG not in registry.version(name, number).tags:
        registry.annotate(name, number, {COMMIT_TAG: sha})


@task(cache_policy=NO_CACHE, persist_result=False)
def deliver() -> Any:
    """Give to others what a run made here. The final state is Owed when something could not be pushed.

    The model is what it is then, and the next run tries again.
    """
    told = push(reporter.sayer("push", get_run_logger()))
    return _ended("push", "Owed" if owes() else "Completed", told)


def push(say: Say) -> str:
    """Data and results to DVC's default remote, the branch to git's; words on both."""
    told = [_push_data(say), _push_branch(files.read_json(OWED)["branch"])]
    if all(done for done, _ in told):
        OWED.unlink()
    return "; ".join(text for _, text in told)


def owes() -> bool:
    """Whether a run before could not push everything, or died before it did."""
    return OWED.exists()


def _push_data(say: Say) -> tuple[bool, str]:
    """Whether that is done, or there is nothing to do; and words. Outputs of other remotes (`embedded`) stay out."""
    name, url = _default_remote()
    if not name:
        return True, "data: only here, as DVC has no default remote (`dvc remote add --local --default NAME URL`)"
    if "://" not in url and Path(url).resolve() == EMBEDDED_STORE.resolve():
        return True, f"data: only here, as DVC's default remote {name} is the store of the embedded sets"
    ended = stage.dvc(["push", "--remote", name], lambda line: say(tracking.shown(line)), PUSH_SECONDS)
    if ended.code or ended.timed_out:
        return False, f"data: not pushed to {name} ({_last(ended)}); the next run tries again"
    out = pointer.output()
    if out.get("remote", name) != name and not _comes_along(out["md5"]):
        return True, f"data: not in {name}: delete the line `remote: {out['remote']}` of data.dvc and they will be"
    return True, f"data: in DVC's remote {name}"


def _default_remote() -> tuple[str, str]:
    """Name and URL of DVC's default remote; empty texts when there is none."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote", "")
        return name, repo.config["remote"].get(name, {}).get("url", "")


def _comes_along(md5: str) -> bool:
    """Whether a set is one of those in git."""
    return (EMBEDDED_STORE / "files" / "md5" / md5[:2] / md5[2:]).exists()


def _push_branch(branch: str) -> tuple[bool, str]:
    """Push, joined with what others have pushed to the branch meanwhile; nothing is ever forced."""
    remote = _remote()
    if not remote:
        return True, f"branch {branch}: only here, as git has no remote"
    tracked = f"refs/remotes/{remote}/{branch}"
    _network("fetch", "--quiet", "--no-tags", remote, f"+refs/heads/{branch}:{tracked}")  # none there: fine
    here, there = _tip(f"refs/heads/{branch}"), _tip(tracked)
    if not here:
        return True, f"branch {branch}: somebody deleted it here, so there is nothing to push"
    if there:
        tree = git.require("rev-parse", f"{here}^{{tree}}")
        _advance(branch, here, tree, [here, there], "Join what was pushed from elsewhere")
    ended = _network("push", "--quiet", remote, f"refs/heads/{branch}:refs/heads/{branch}")
    if ended.code or ended.timed_out:
        return False, f"branch {branch}: not pushed to {remote} ({_last(ended)}); the next run tries again"
    return True, f"branch {branch}: pushed to {remote}"


def _network(*arguments: str) -> process.Ended:
    """A command of git that others answer: in a session of its own, with a time limit, and asking nobody."""
    command = ["git", *arguments]
    return process.run(
        command, lambda line: None, limit=PUSH_SECONDS, grace=5, environment=git.environment(prompts=False)
    )


def _remote() -> str:
    """The remote to push to: `origin`, or the only one; an empty text when it cannot be told."""
    names = (git.text("remote") or "").split()
    return "origin" if "origin" in names else names[0] if len(names) == 1 else ""


def _tip(ref: str) -> str:
    return git.text("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}") or ""


def _last(ended: process.Ended) -> str:
    if ended.timed_out:
        return f"stopped after {PUSH_SECONDS:.0f} s"
    wrong = [line for line in ended.lines if re.match(r"(fatal|error|ERROR|remote|!|\s*!)", line)] or list(ended.lines)
    return tracking.shown(wrong[0]) if wrong else f"exit status {ended.code}"


def _identity() -> dict[str, str]:
    """Who commits: whom git knows, or the machine."""
    if git.text("var", "GIT_COMMITTER_IDENT") and git.text("var", "GIT_AUTHOR_IDENT"):
        return {}
    who = {"NAME": "retrain", "EMAIL": f"retrain@{socket.gethostname()}"}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}


def _ended(part: str, did: str, text: str) -> Any:
    """The final state of a task, told on the terminal and in the log."""
    reporter.ended(part, did, text)
    get_run_logger().info("%s", text)
    return Completed(name=did, message=text)
