"""Git tags of promoted versions, by which `dvc artifacts get URL model` finds the champion's files.

DVC wants annotated tags of the form `model@v3.0.0`, and takes the highest version without another wish.
"""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from ddpm.provenance import git
from flows.tasks.outcome import finish

ARTIFACT = "model"
"""The artifact in dvc.yaml."""
TAGS = f"refs/tags/{ARTIFACT}@v*"
COMMIT_TAG = "ddpm.commit"
"""Tag of a registered version: the commit that a retraining made of its files."""


@task(cache_policy=NO_CACHE, persist_result=False)
def tag_champion(name: str, number: int) -> Any:
    """Tag the commit of the champion, unless it has none or the tag exists."""
    from ddpm import registry

    sha, tag = registry.version(name, number).tags.get(COMMIT_TAG), f"{ARTIFACT}@v{number}.0.0"
    if sha is None or git.text("cat-file", "-e", f"{sha}^{{commit}}") is None:
        return finish("tag", "Skipped", f"no tag: version {number} has no commit here")
    if git.text("rev-parse", "--quiet", "--verify", f"refs/tags/{tag}") is not None:
        return finish("tag", "Cached", f"{tag} exists")
    message = f"{name} version {number} is the champion"
    git.require("tag", "--no-sign", "--annotate", "--message", message, tag, sha, variables=git.identity("retrain"))
    return finish("tag", "Completed", f"{tag}: `dvc artifacts get URL {ARTIFACT}` finds it")
