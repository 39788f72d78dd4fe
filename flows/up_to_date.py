"""Decide whether a run has anything to do: from hashes of small files, DVC's status, and the champion's record."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ddpm.common import files
from ddpm.config import params
from ddpm.provenance.fingerprint import PIPELINE
from flows import dvc

FINISHED = Path(".state/finished.json")
PARAMS = "params.yaml"
INPUTS = (PARAMS, "dvc.yaml", "requirements.lock")
RESULTS = ("dvc.lock", "data.dvc")
INPUT_TAGS = ("ddpm.data_hash", "ddpm.params_hash", "ddpm.code_hash", "ddpm.lock_hash")
"""Tags of a version that identify its inputs."""


def fingerprint() -> dict[str, str]:
    """SHA-256 of each file that a run depends on; images and outputs are left to DVC."""
    code = [path for folder in PIPELINE for path in sorted(Path(folder).rglob("*.py"))]
    return _hashes([*map(Path, INPUTS + RESULTS), *code])


def record_finished(before: dict[str, str]) -> None:
    """Record that the pipeline has finished. before: the fingerprint at its start."""
    files.write_json(FINISHED, before | _hashes(map(Path, RESULTS)))


def require_unedited(before: dict[str, str], settings: params.Params) -> None:
    """Raise RuntimeError if code, the lock file or parameters have changed since the run started.

    The version would otherwise carry the hashes of files that it was not made from. before: the fingerprint at the
    start. Results and data.dvc are left out, because the run itself changes them.
    """
    now = fingerprint()
    own = {PARAMS, *RESULTS}
    edited = sorted(
        name for name in before.keys() | now.keys() if name not in own and before.get(name) != now.get(name)
    )
    if params.load() != settings:
        edited.insert(0, PARAMS)
    if edited:
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        raise RuntimeError(
            f"{', '.join(edited[:3])}{more} changed during this run, so nothing is registered: the record would "
            "name files that the model was not made from. Finished stages are kept. Run the same command again."
        )


def reason_to_skip(name: str, log: Callable[[str], None]) -> str:
    """The reason why there is nothing to do for the model `name`, or an empty text. Takes seconds.

    The last finished run counts whatever its verdict, because the same inputs would give the same candidate again.
    """
    if matches_last_run():
        return "data, parameters and code are those of the last finished run"
    number = matching_champion(name, log)
    return f"data, parameters and code are those of the champion, {name} version {number}" if number else ""


def matches_last_run() -> bool:
    """Return True if nothing has changed since the last finished run. DVC, the slowest check (a second), comes last."""
    if not FINISHED.exists() or files.read_json(FINISHED) != fingerprint():
        return False
    return not dvc.stale()


def matching_champion(name: str, log: Callable[[str], None]) -> int | None:
    """The champion's version if it was made from this checkout's data, parameters, code and lock file; else None.

    It spares a fresh clone a run. Data that are missing count as those that data.dvc names.
    """
    from ddpm import registry, tracking
    from ddpm.tracking import store

    if store.embedded() and not store.EMBEDDED.exists():
        return None  # nothing has been recorded
    try:
        champion = registry.status(name).champion
    except tracking.TrackingUnavailableError as error:
        log(f"the champion is unknown, so this run continues: {error}")
        return None
    here = tracking.lineage(tracking.Changes())
    if champion is None or any(champion.tags.get(tag, "none") != here[tag] for tag in INPUT_TAGS):
        return None
    return None if "modified" in dvc.data_changes("data.dvc") else champion.number


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    return {path.as_posix(): files.sha256_file(path) for path in paths if path.exists()}
