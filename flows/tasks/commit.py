"""Commit the result of a retraining to the branch flow.branch, and push it.

The commit is made with git's plumbing commands and a temporary index, so the user's index, files and HEAD stay
untouched, however dirty they are. Its SHA is stored on the registered version. Pushing comes last, because it depends
on other machines: if something cannot be pushed, a file records that, and the next run tries again.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ddpm import tracking
from ddpm.common import files
from ddpm.common.units import duration
from ddpm.data import pointer
from ddpm.provenance import git
from ddpm.provenance.patch import CREDENTIALS
from flows import dvc, processes
from flows.console import reporter
from flows.tasks.model_tag import COMMIT_TAG, TAGS
from flows.tasks.outcome import finish

KEPT = ("data.dvc", "dvc.lock", "params.yaml", "dvc.yaml")
"""The files that, with the code, define the model. Other changes of the tree are not committed."""
PENDING_PUSH = Path(".state/owed.json")
"""Exists while something is to be pushed; names the branch."""
EMBEDDED_STORE = Path("assets/dvcstore")
PUSH_SECONDS = 600.0


class BranchError(git.GitError):
    """The result of a retraining cannot be committed; the message has the reason and the remedy."""


def uncommitted() -> tuple[str, ...]:
    """The files of `KEPT` that differ from the last commit, or are not in it; none without git."""
    return tuple(name for name in KEPT if git.text("status", "--porcelain", "--", name))


def require_committable(branch: str) -> None:
    """Check, before any work, that a commit to the branch is possible. Raises BranchError."""
    if not branch or git.text("rev-parse", "HEAD") is None:
        return
    if git.text("check-ref-format", "--branch", branch) is None:
        raise BranchError(f"flow.branch in params.yaml: {branch!r} is not a valid branch name for git")
    if f"branch refs/heads/{branch}" in (git.text("worktree", "list", "--porcelain") or "").splitlines():
        raise BranchError(
            f"the branch {branch} is checked out, and a run does not commit to a branch in use. Check out "
            f"another (`git switch main`), or name another in params.yaml: flow.branch"
        )
    for name in KEPT:
        if Path(name).exists() and CREDENTIALS.search(Path(name).read_bytes()):
            raise BranchError(
                f"{name} has an address with credentials, which must not be committed. Put them into DVC's local "
                "configuration: dvc remote modify --local"
            )


@task(cache_policy=NO_CACHE, persist_result=False)
def commit_version(branch: str, name: str, number: int, run_id: str) -> Any:
    """Commit the state of the pipeline to the branch, once per content, and store the SHA on the version.

    A version that was registered before keeps its SHA.
    """
    if not branch or git.text("rev-parse", "HEAD") is None:
        why = (
            "no commit: flow.branch is empty"
            if not branch
            else "no commit: this folder is not in a git repository with a commit"
        )
        return finish("commit", "Skipped", why)
    sha, new = commit(branch, _message(name, number, run_id))
    files.write_json(PENDING_PUSH, {"branch": branch})
    _store_sha(name, number, sha)
    text = f"{sha[:12]} on the branch {branch}" + ("" if new else ", unchanged")
    return finish("commit", "Completed" if new else "Cached", text)


def commit(branch: str, message: str) -> tuple[str, bool]:
    """Commit HEAD's tree with the present files `KEPT` to `branch`; return the SHA and whether it is new.

    The parents are HEAD, the local tip of the branch, and its tip as last fetched from the remote, without those that
    are ancestors of another. Raises BranchError if the branch is checked out, GitError if it has moved meanwhile.
    """
    require_committable(branch)
    here, tree = _tip(f"refs/heads/{branch}"), _tree()
    remote = _remote()
    tips = [here, _tip(f"refs/remotes/{remote}/{branch}") if remote else "", git.require("rev-parse", "HEAD")]
    return _advance(branch, here, tree, tips, message)


def _advance(branch: str, here: str, tree: str, tips: list[str], message: str) -> tuple[str, bool]:
    """Move the branch from `here` ("" if it does not exist) to a commit of `tree` that descends from all `tips`."""
    existing = [tip for tip in dict.fromkeys(tips) if tip]
    heads = set(git.require("merge-base", "--independent", *existing).split())
    parents = [tip for tip in existing if tip in heads]
    new = len(parents) > 1 or git.require("rev-parse", f"{parents[0]}^{{tree}}") != tree
    sha = parents[0]
    if new:
        named = [word for parent in parents for word in ("-p", parent)]
        sha = git.require("commit-tree", tree, *named, "-m", message, variables=git.identity("retrain"))
    if sha != here:
        git.require("update-ref", "-m", "retrain", f"refs/heads/{branch}", sha, here)
    return sha, new


def _tree() -> str:
    """HEAD's tree with the folder's files `KEPT`, written with a temporary index."""
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
    """The commit message."""
    named = git.text("status", "--porcelain", "--", ".", *(f":(exclude){each}" for each in KEPT))
    lines = [f"Retrained: {name} version {number}", "", f"MLflow run {run_id}"]
    if named:
        lines.append("Other files differ from the last commit as well: the run has their patch, this commit does not.")
    return "\n".join(lines)


def _store_sha(name: str, number: int, sha: str) -> None:
    """Store the commit on the version, unless it has one."""
    from ddpm import registry

    if COMMIT_TAG not in registry.version(name, number).tags:
        registry.annotate(name, number, {COMMIT_TAG: sha})


@task(cache_policy=NO_CACHE, persist_result=False)
def push_result() -> Any:
    """Push data, results and the branch. The final state is Owed if a push failed.

    A failed push does not affect the model; the next run tries again.
    """
    text = push(reporter.logger("push", get_run_logger()))
    return finish("push", "Owed" if is_push_pending() else "Completed", text)


def push(log: processes.Log) -> str:
    """Push data and results to DVC's default remote and the branch to git's; return a summary."""
    pushed = [_push_data(log), _push_branch(files.read_json(PENDING_PUSH)["branch"])]
    if all(done for done, _ in pushed):
        PENDING_PUSH.unlink()
    return "; ".join(text for _, text in pushed)


def is_push_pending() -> bool:
    """Return True if an earlier run could not push everything, or died before pushing."""
    return PENDING_PUSH.exists()


def _push_data(log: processes.Log) -> tuple[bool, str]:
    """Push data and results; return False if that failed, and a summary. Outputs of other remotes are left out."""
    name, url = _default_remote()
    if not name:
        return True, "data: local only, because DVC has no default remote (`dvc remote add --local --default NAME URL`)"
    if "://" not in url and Path(url).resolve() == EMBEDDED_STORE.resolve():
        return True, f"data: local only, because DVC's default remote {name} is the store of the embedded sets"
    done = dvc.dvc(["push", "--remote", name], lambda line: log(tracking.redact_text(line)), PUSH_SECONDS)
    if done.code or done.timed_out:
        return False, f"data: not pushed to {name} ({_reason(done)}); the next run tries again"
    out = pointer.output()
    if out.get("remote", name) != name and not _is_in_git(out["md5"]):
        return True, f"data: not pushed to {name}: to push them, delete the line `remote: {out['remote']}` of data.dvc"
    return True, f"data: in DVC's remote {name}"


def _default_remote() -> tuple[str, str]:
    """Name and URL of DVC's default remote; both empty if there is none."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote", "")
        return name, repo.config["remote"].get(name, {}).get("url", "")


def _is_in_git(md5: str) -> bool:
    """Return True if a data set is in the store that git tracks."""
    return (EMBEDDED_STORE / "files" / "md5" / md5[:2] / md5[2:]).exists()


def _push_branch(branch: str) -> tuple[bool, str]:
    """Push the branch, merged with the commits that others have pushed to it; never by force."""
    remote = _remote()
    if not remote:
        return True, f"branch {branch}: local only, because git has no remote"
    tracked = f"refs/remotes/{remote}/{branch}"
    _network(
        "fetch", "--quiet", "--no-tags", remote, f"+refs/heads/{branch}:{tracked}"
    )  # fails if the remote has no such branch
    here, there = _tip(f"refs/heads/{branch}"), _tip(tracked)
    if not here:
        return True, f"branch {branch}: it was deleted here, so there is nothing to push"
    if there:
        tree = git.require("rev-parse", f"{here}^{{tree}}")
        _advance(branch, here, tree, [here, there], "Merge the commits pushed from elsewhere")
    done = _network("push", "--quiet", remote, f"refs/heads/{branch}:refs/heads/{branch}")
    if done.code or done.timed_out:
        return False, f"branch {branch}: not pushed to {remote} ({_reason(done)}); the next run tries again"
    return True, f"branch {branch}: pushed to {remote}{_push_tags(remote)}"


def _push_tags(remote: str) -> str:
    """Push the tags of promoted versions; return a remark if that fails, which is not tried again by itself."""
    if not git.text("for-each-ref", TAGS):
        return ""
    done = _network("push", "--quiet", remote, f"{TAGS}:{TAGS}")
    return f" without all tags ({_reason(done)})" if done.code or done.timed_out else " with its tags"


def _network(*arguments: str) -> processes.ProcessResult:
    """Run a git command that uses the network, with a time limit and without prompts."""
    command = ["git", *arguments]
    return processes.run(
        command, lambda line: None, limit=PUSH_SECONDS, grace=5, environment=git.environment(prompts=False)
    )


def _remote() -> str:
    """The remote to push to: `origin`, or the only one; empty if that is ambiguous."""
    names = (git.text("remote") or "").split()
    return "origin" if "origin" in names else names[0] if len(names) == 1 else ""


def _tip(ref: str) -> str:
    """The SHA of a ref, or an empty text."""
    return git.text("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}") or ""


def _reason(done: processes.ProcessResult) -> str:
    """Return the reason why a push failed, in one line."""
    if done.timed_out:
        return f"stopped after {duration(PUSH_SECONDS)}"
    errors = [line for line in done.lines if re.match(r"(fatal|error|ERROR|remote|!|\s*!)", line)] or list(done.lines)
    return tracking.redact_text(errors[0]) if errors else f"exit status {done.code}"
