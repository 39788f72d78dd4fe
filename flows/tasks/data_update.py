"""Bring imported data up to date with their source, all-or-nothing.

Only a `data.dvc` that `dvc import-url` (or `dvc import`) made names a source. `dvc update data.dvc` would delete `data`
before it finds that the source is gone, and would take an empty one for the new version. So the source is probed first,
and DVC updates a copy of data.dvc, whose data lie beside (`ddpm.data.replace`) until they are swapped in.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ddpm import tracking
from ddpm.data import pointer, replace, sources
from ddpm.data.dvc import is_busy, words
from ddpm.data.errors import DataError
from ddpm.data.pointer import DATA, POINTER, Version
from flows import dvc, processes
from flows.console import reporter
from flows.tasks.outcome import finish

PATIENCE = 60.0
"""Seconds to wait for another process that changes the data."""
PROBE_SECONDS = 120.0
GONE = {404, 410}

Say = Callable[[str], None]


class SourceError(RuntimeError):
    """The data could not be brought up to date and are unchanged; the message says why."""


@task(cache_policy=NO_CACHE, persist_result=False)
def update(limit: float) -> Any:
    """Bring imported data up to date. The final state: Completed when they changed, Cached when they did not."""
    before, now = refresh(reporter.sayer("source", get_run_logger()), limit)
    did = "Cached" if before == now else "Completed"
    text = "has not changed" if before == now else f"the data changed: {now.count:,} files, {before.count:,} before"
    return finish("source", did, text)


def imported() -> bool:
    """Whether data.dvc names a source. Data that were added (`dvc add`) have none."""
    return bool(pointer.sources())


def refresh(say: Say, limit: float) -> tuple[Version, Version]:
    """Update the data from their source: the version before, and the present one.

    Raises:
        SourceError: the source is gone or empty, or the update failed. The data are unchanged.
        dvc.BusyError: another DVC process holds a lock.
        dvc.TimeLimitError: the update took longer than `limit` seconds.
    """
    heal(say)
    with replace.clean(PATIENCE) as lock:
        _save_present(say)
        probe()
        before = pointer.version()
        if _has_moved(limit, lock):
            _fetch(say, limit, lock)
            replace.swap()
    return before, pointer.version()


def heal(say: Say) -> None:
    """Recover if a run or `ddpm data use` was killed while it replaced the data."""
    if replace.interrupted():
        with replace.exclusive(PATIENCE):
            if replace.interrupted():  # the other process may have ended properly meanwhile
                say("a change of the data was killed: the data before it are put back")
                replace.recover()


def probe() -> None:
    """Raise SourceError when the source is gone, empty, or a page instead of images."""
    dependency = pointer.sources()[0]
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
    ended = dvc.dvc(["list-url", path], lambda line: None, PROBE_SECONDS, grace=5)
    if ended.timed_out:
        raise _failed(f"did not answer in {PROBE_SECONDS:.0f} s")
    if ended.code:
        raise _failed("is gone, or cannot be read", ended)
    if not [line for line in ended.lines if not line.startswith("WARNING")]:
        raise _failed("is empty")


def _probe_address(path: str) -> None:
    """Ask an HTTP server for the head. If it refuses HEAD requests, DVC finds out whether the source is there."""
    request = urllib.request.Request(path, method="HEAD")  # noqa: S310 - `probe` passes http(s) only
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - `probe` passes http(s) only
            kind, length = answer.headers.get_content_type(), answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        if error.code in GONE:
            raise _failed(f"is gone ({error.code})") from error
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _failed(f"does not answer ({tracking.shown(str(error))})") from error
    if kind == "text/html":
        raise _failed("is a page, not an archive of images: DVC would import the page itself")
    if length == "0":
        raise _failed("is empty")


def _save_present(say: Say) -> None:
    """Make sure that the present version can be brought back later: it is in DVC's cache. Raises SourceError."""
    if not DATA.exists():
        return
    how = dvc.touched(str(POINTER))
    if "modified" in how:
        raise SourceError(
            "data was changed here since data.dvc was written, and an update would replace it. "
            "Keep it in DVC's cache: `dvc add data`. Or let it go: `dvc checkout --force data.dvc`."
        )
    if "not in cache" in how:  # `dvc commit` would record the source's present state for these data and miss its change
        ended = dvc.dvc(["add", str(DATA)], say, limit=None)
        if ended.code:
            raise SourceError(f"data could not be saved in DVC's cache before the update: {_words(ended)}")


def _has_moved(limit: float, lock: int) -> bool:
    """Whether the source differs from what data.dvc names, or the data are missing. Nothing is downloaded for it."""
    if not DATA.exists():
        return True
    replace.write_incoming_pointer()
    _update(["--no-download"], lambda line: None, limit, lock)
    return pointer.sources(replace.INCOMING_POINTER) != pointer.sources()


def _fetch(say: Say, limit: float, lock: int) -> None:
    """Fetch the source's present state beside the data."""
    replace.write_incoming_pointer()
    _update([], lambda line: say(tracking.shown(line)), limit, lock)
    if not pointer.version(replace.INCOMING_POINTER).count:
        raise _failed("is empty")


def _update(options: Sequence[str], say: Say, limit: float, lock: int) -> None:
    """Run `dvc update` on the copy of data.dvc. Raises SourceError, dvc.BusyError, dvc.TimeLimitError."""
    ended = dvc.dvc(["update", *options, str(replace.INCOMING_POINTER)], say, limit, keep=[lock])
    if ended.timed_out:
        raise dvc.TimeLimitError(
            f"the update of data was stopped after {limit:.0f} s, the time limit (flow.time_limit in params.yaml). "
            "The data are what they were."
        )
    if ended.code and is_busy(ended.lines):
        raise dvc.BusyError("data could not be updated: another DVC process is at work here.")
    if ended.code:
        raise _failed("could not be fetched", ended)


def _failed(what: str, ended: processes.Ended | None = None) -> SourceError:
    """An error that names the source, without credentials, and DVC's last words."""
    words = f"\n{_words(ended)}" if ended else ""
    path = tracking.shown(str(pointer.sources()[0]["path"]))
    return SourceError(
        f"the source of the data, {path}, {what}. The data are what they were. Bring the source back, "
        f"or use another: ddpm data use SOURCE.{words}"
    )


def _words(ended: processes.Ended) -> str:
    """The last words of DVC."""
    return "\n".join(f"  {tracking.shown(line)}" for line in words(ended.lines)[-6:])
