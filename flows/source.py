"""The source that the data were imported from: asked whether it is there, then fetched anew, all or nothing.

Only a `data.dvc` that `dvc import-url` made names one. `dvc update` deletes `data` before it finds that the source is
gone, and takes an empty one for the new version. So the source is probed first, what is there is written down, and
whatever happens then, a kill included, the data are put back: at once, or by the next run (`heal`).
"""

import contextlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from ddpm import tracking
from ddpm.common import files
from ddpm.common.locks import locked
from ddpm.config import params
from ddpm.data import replace, sources
from ddpm.data.errors import DataError
from flows import process, stage
from flows.console import reporter

DATA, POINTER = Path("data"), Path("data.dvc")
INTENTION = Path(".state/update.json")
PROBE_SECONDS = 120.0
GONE = {404, 410}

Say = Callable[[str], None]


class SourceError(RuntimeError):
    """The data could not be brought up to date, and are what they were; the message says why."""


@dataclass(frozen=True)
class Version:
    """What data.dvc names: DVC's hash, and how many files."""

    md5: str
    count: int


@task(cache_policy=NO_CACHE, persist_result=False)
def update(limit: float) -> Any:
    """Bring imported data up to date. The final state: Completed when they changed, Cached when they did not."""
    before, now = refresh(reporter.sayer("source", get_run_logger()), limit)
    did = "Cached" if before == now else "Completed"
    text = "has not changed" if before == now else f"the data changed: {now.count:,} files, {before.count:,} before"
    reporter.ended("source", did, text)
    return Completed(name=did, message=text)


def imported() -> bool:
    """Whether data.dvc names a source. Data that were added (`dvc add`) have none: whoever changes them is it."""
    return POINTER.exists() and bool(params.read_yaml(POINTER).get("deps"))


def refresh(say: Say, limit: float) -> tuple[Version, Version]:
    """`dvc update data.dvc`, all or nothing: the version before, and the one that is there now.

    Raises SourceError (gone, empty, or the update failed: the data are what they were), stage.BusyError.
    """
    heal(say)
    with _alone():
        untouched = _protected(say)
        probe()
        before = _named()
        files.write_json(INTENTION, {"pointer": POINTER.read_text(encoding="utf-8"), "present": untouched})
        try:
            _update(say, limit)
        except BaseException:
            _restore(say)
            raise
        INTENTION.unlink()
    return before, _named()


def heal(say: Say) -> None:
    """Put the data back if a run, or `ddpm data use`, was killed while it changed them. Raises SourceError."""
    if replace.interrupted():
        with _alone():
            if replace.interrupted():  # not by one that has come to its end meanwhile
                say("`ddpm data use` was killed: putting back the data before")
                replace.recover()
    if INTENTION.exists():
        with _alone():
            if not INTENTION.exists():
                return  # the update that went on here has come to its end
            if _settled():
                INTENTION.unlink()
                return
            say("a run was killed while it updated the data: putting back those before")
            _restore(say)


def _settled() -> bool:
    """Whether data.dvc names other data by now: the update was done (DVC writes it last), or somebody chose others."""
    if not POINTER.exists() or POINTER.read_text(encoding="utf-8") == files.read_json(INTENTION)["pointer"]:
        return False
    try:
        return _named().count > 0
    except (ValueError, LookupError, TypeError):  # half written
        return False


def probe() -> None:
    """Raises SourceError when the source is gone, empty, or a page instead of images."""
    dependency = params.read_yaml(POINTER)["deps"][0]
    path = str(dependency["path"])
    if "repo" in dependency:
        return  # a file of another repository: `dvc update` asks git for it
    if path.startswith(("http://", "https://")):
        _probe_address(path)
        return
    if "://" not in path and Path(path).is_dir():
        try:
            sources.check_copyable(Path(path))
        except DataError as error:
            raise SourceError(str(error)) from error
    ended = stage.dvc(["list-url", path], lambda line: None, PROBE_SECONDS, grace=5)
    if ended.timed_out:
        raise _failed(path, f"did not answer in {PROBE_SECONDS:.0f} s")
    if ended.code:
        raise _failed(path, "is gone, or cannot be read", ended)
    if not [line for line in ended.lines if not line.startswith("WARNING")]:
        raise _failed(path, "is empty")


def _probe_address(path: str) -> None:
    """Ask for the head only. What this server does not let us ask, DVC finds out."""
    request = urllib.request.Request(path, method="HEAD")  # noqa: S310 - http(s), see above
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            kind, length = answer.headers.get_content_type(), answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        if error.code in GONE:
            raise _failed(path, f"is gone ({error.code})") from error
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _failed(path, f"does not answer ({tracking.shown(str(error))})") from error
    if kind == "text/html":
        raise _failed(path, "is a page, not an archive of images: DVC would import the page itself")
    if length == "0":
        raise _failed(path, "is empty")


def _protected(say: Say) -> bool:
    """Make sure that the data can be put back, and say whether they are here. Raises SourceError."""
    if not DATA.exists():
        return False
    how = stage.touched(str(POINTER))
    if "modified" in how:
        raise SourceError(
            "data was changed here since data.dvc was written, and an update would replace it. "
            "Keep it in DVC's cache: `dvc add data`. Or let it go: `dvc checkout --force data.dvc`."
        )
    if "not in cache" in how:  # `dvc commit` would note the source as it is now for these data, and miss its change
        ended = stage.dvc(["add", str(DATA)], say, limit=None)
        if ended.code:
            raise SourceError(f"data could not be saved in DVC's cache before the update: {_words(ended)}")
    return True


def _update(say: Say, limit: float) -> None:
    """Raises SourceError, stage.BusyError, stage.TimeLimitError."""
    ended = stage.dvc(["update", str(POINTER)], lambda line: say(tracking.shown(line)), limit)
    path = str(params.read_yaml(POINTER)["deps"][0]["path"])
    if ended.timed_out:
        raise stage.TimeLimitError(
            f"the update of data was stopped after {limit:.0f} s, the time limit (flow.time_limit in params.yaml). "
            "The data are what they were."
        )
    if ended.code and _busy(ended):
        raise stage.BusyError("data could not be updated: another DVC process is at work here.")
    if ended.code:
        raise _failed(path, "could not be fetched", ended)
    if not _named().count:
        raise _failed(path, "is empty")


def _restore(say: Say) -> None:
    """data.dvc and data as the intention found them. Raises SourceError; the intention stays then."""
    kept = files.read_json(INTENTION)
    files.write_text(POINTER, kept["pointer"])
    if kept["present"]:
        ended = stage.dvc(["checkout", "--force", str(POINTER)], say, limit=None)
        if ended.code and _busy(ended):
            raise stage.BusyError("data could not be put back yet: another DVC process is at work here.")
        if ended.code:
            raise SourceError(
                f"data could not be put back from DVC's cache: {_words(ended)}\n"
                "data.dvc names them: `dvc pull data.dvc` brings them if a remote has them."
            )
    else:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(DATA) if DATA.is_dir() else DATA.unlink()
    INTENTION.unlink()


def _named() -> Version:
    """What data.dvc names. A file (an archive) counts as one unless it has no content."""
    out = params.read_yaml(POINTER)["outs"][0]
    return Version(str(out["md5"]), int(out.get("nfiles", 1)) if out.get("size") else 0)


def _alone() -> contextlib.AbstractContextManager[int]:
    return locked(replace.LOCK, "another run is updating the data")


def _failed(path: str, what: str, ended: process.Ended | None = None) -> SourceError:
    """An error that names the source, without credentials, and says what became of the data."""
    words = f"\n{_words(ended)}" if ended else ""
    return SourceError(
        f"the source of the data, {tracking.shown(path)}, {what}. The data are what they were. Bring the source back, "
        f"or use another: ddpm data use SOURCE.{words}"
    )


def _busy(ended: process.Ended) -> bool:
    return any(stage.BUSY.search(line) for line in ended.lines)


def _words(ended: process.Ended) -> str:
    """The last words of DVC."""
    said = [line for line in ended.lines if not stage.CHATTER.match(line)]
    return "\n".join(f"  {tracking.shown(line)}" for line in said[-6:])
