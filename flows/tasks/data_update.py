"""Update imported data from their source, all-or-nothing.

Only a `data.dvc` made by `dvc import-url` (or `dvc import`) names a source. `dvc update data.dvc` would delete `data`
before it notices that the source is gone, and would accept an empty source as the new version. So the source is probed
first, and DVC updates a copy of data.dvc in a staging place (`ddpm.data.replace`), which is then swapped in.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ddpm import tracking
from ddpm.common.units import duration
from ddpm.data import pointer, replace, sources
from ddpm.data.dvc import is_busy, message_lines
from ddpm.data.errors import DataError
from ddpm.data.pointer import DATA, POINTER, Version
from flows import dvc, processes
from flows.console import reporter
from flows.processes import Log
from flows.tasks.outcome import finish

PATIENCE = 60.0
"""Seconds to wait for another process that changes the data."""
PROBE_SECONDS = 120.0
GONE = {404, 410}


class SourceError(RuntimeError):
    """The data could not be updated and are unchanged; the message has the reason."""


@task(cache_policy=NO_CACHE, persist_result=False)
def update(limit: float) -> Any:
    """Update imported data. The final state is Completed if they changed, else Cached."""
    before, now = refresh(reporter.logger("source", get_run_logger()), limit)
    result = "Cached" if before == now else "Completed"
    text = "has not changed" if before == now else f"the data changed: {now.count:,} files, {before.count:,} before"
    return finish("source", result, text)


def has_source() -> bool:
    """Return True if data.dvc names a source. Data added with `dvc add` have none."""
    return bool(pointer.sources())


def refresh(log: Log, limit: float) -> tuple[Version, Version]:
    """Update the data from their source; return the versions before and after.

    Raises:
        SourceError: the source is gone or empty, or the update failed. The data are unchanged.
        dvc.BusyError: another DVC process holds a lock.
        dvc.TimeLimitError: the update took longer than `limit` seconds.
    """
    recover(log)
    with replace.clean(PATIENCE) as lock:
        _cache_present(log)
        probe()
        before = pointer.version()
        if _source_changed(limit, lock):
            _fetch(log, limit, lock)
            replace.swap()
    return before, pointer.version()


def recover(log: Log) -> None:
    """Restore the previous data if a run or `ddpm data use` was killed while it replaced them."""
    if replace.interrupted():
        with replace.exclusive(PATIENCE):
            if replace.interrupted():  # the other process may have finished meanwhile
                log("a replacement of the data was killed: the previous data are restored")
                replace.recover()


def probe() -> None:
    """Raise SourceError if the source is missing, empty, or a web page."""
    dependency = pointer.sources()[0]
    path = str(dependency["path"])
    if "repo" in dependency:
        return  # in another repository, which `dvc update` asks git for
    if path.startswith(("http://", "https://")):
        _probe_address(path)
        return
    if "://" not in path and Path(path).is_dir():
        try:
            sources.check_copyable(Path(path))
        except DataError as error:
            raise SourceError(str(error)) from error
    done = dvc.dvc(["list-url", path], lambda line: None, PROBE_SECONDS, grace=5)
    if done.timed_out:
        raise _source_error(f"did not answer in {duration(PROBE_SECONDS)}")
    if done.code:
        raise _source_error("is gone, or cannot be read", done)
    if not [line for line in done.lines if not line.startswith("WARNING")]:
        raise _source_error("is empty")


def _probe_address(path: str) -> None:
    """Probe an HTTP source with a HEAD request. If the server refuses those, DVC finds out whether it exists."""
    request = urllib.request.Request(path, method="HEAD")  # noqa: S310 - `probe` passes http(s) only
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - `probe` passes http(s) only
            kind, length = answer.headers.get_content_type(), answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        if error.code in GONE:
            raise _source_error(f"is gone ({error.code})") from error
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _source_error(f"does not answer ({tracking.redact_text(str(error))})") from error
    if kind == "text/html":
        raise _source_error("is a page, not an archive of images: DVC would import the page itself")
    if length == "0":
        raise _source_error("is empty")


def _cache_present(log: Log) -> None:
    """Ensure that the present version can be restored from DVC's cache. Raises SourceError."""
    if not DATA.exists():
        return
    changes = dvc.data_changes(str(POINTER))
    if "modified" in changes:
        raise SourceError(
            "data was changed here since data.dvc was written, and an update would replace it. "
            "To keep the change: `dvc add data`. To discard it: `dvc checkout --force data.dvc`."
        )
    if "not in cache" in changes:  # not `dvc commit`, which would record the source's new state for the old data
        done = dvc.dvc(["add", str(DATA)], log, limit=None)
        if done.code:
            raise SourceError(f"data could not be saved in DVC's cache before the update: {_last_lines(done)}")


def _source_changed(limit: float, lock: int) -> bool:
    """Return True if the source differs from the version in data.dvc, or the data are missing. Downloads nothing."""
    if not DATA.exists():
        return True
    replace.write_incoming_pointer()
    _update(["--no-download"], lambda line: None, limit, lock)
    return pointer.sources(replace.INCOMING_POINTER) != pointer.sources()


def _fetch(log: Log, limit: float, lock: int) -> None:
    """Fetch the source's present state into the staging place."""
    replace.write_incoming_pointer()
    _update([], lambda line: log(tracking.redact_text(line)), limit, lock)
    if not pointer.version(replace.INCOMING_POINTER).count:
        raise _source_error("is empty")


def _update(options: Sequence[str], log: Log, limit: float, lock: int) -> None:
    """Run `dvc update` on the copy of data.dvc. Raises SourceError, dvc.BusyError, dvc.TimeLimitError."""
    done = dvc.dvc(["update", *options, str(replace.INCOMING_POINTER)], log, limit, pass_fds=[lock])
    if done.timed_out:
        raise dvc.TimeLimitError(
            f"the update of data was stopped after {duration(limit)}, the time limit (flow.time_limit in params.yaml). "
            "The data are unchanged."
        )
    if done.code and is_busy(done.lines):
        raise dvc.BusyError("data could not be updated: another DVC process is running here.")
    if done.code:
        raise _source_error("could not be fetched", done)


def _source_error(what: str, done: processes.ProcessResult | None = None) -> SourceError:
    """An error that names the source, without credentials, and ends with DVC's last lines."""
    details = f"\n{_last_lines(done)}" if done else ""
    path = tracking.redact_text(str(pointer.sources()[0]["path"]))
    return SourceError(
        f"the source of the data, {path}, {what}. The data are unchanged. Bring the source back, "
        f"or use another: ddpm data use SOURCE.{details}"
    )


def _last_lines(done: processes.ProcessResult) -> str:
    """The last lines of DVC's output, indented."""
    return "\n".join(f"  {tracking.redact_text(line)}" for line in message_lines(done.lines)[-6:])
