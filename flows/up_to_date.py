"""Whether a run has anything to do: by hashes of small files, then DVC's status, then the champion's record."""

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
MADE_FROM = ("ddpm.data_hash", "ddpm.params_hash", "ddpm.code_hash", "ddpm.lock_hash")
"""Tags of a version that record what it was made from."""


def fingerprint() -> dict[str, str]:
    """A hash for each file that decides what a run would do; images and outputs are left to DVC."""
    code = [path for folder in PIPELINE for path in sorted(Path(folder).rglob("*.py"))]
    return _hashes([*map(Path, INPUTS + RESULTS), *code])


def finished(before: dict[str, str]) -> None:
    """Record that the pipeline has finished; `before` is the fingerprint it started with."""
    files.write_json(FINISHED, before | _hashes(map(Path, RESULTS)))


def require_unedited(before: dict[str, str], settings: params.Params) -> None:
    """Raise RuntimeError if code, the lock file or parameters differ from those at the run's start.

    Otherwise the version would carry the hashes of files that did not make it. `before`: the fingerprint at the start.
    Results and data.dvc are left out, because a run changes them itself.
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
            f"{', '.join(edited[:3])}{more} changed while this run was at work, so nothing is registered: the record "
            "would name them as what made the model. Finished stages are kept. Run the same command again."
        )


def nothing(name: str, say: Callable[[str], None]) -> str:
    """The reason why there is nothing to do for the model `name`, or an empty text. Takes seconds.

    A finished run counts whatever its verdict: the same inputs would give the same candidate again.
    """
    if unchanged():
        return "data, parameters and code are those of the last finished run"
    number = champion_of_now(name, say)
    return f"data, parameters and code are those of the champion, {name} version {number}" if number else ""


def unchanged() -> bool:
    """Whether the last finished run is up to date. DVC comes last, because it is the slowest (a second)."""
    if not FINISHED.exists() or files.read_json(FINISHED) != fingerprint():
        return False
    return not dvc.stale()


def champion_of_now(name: str, say: Callable[[str], None]) -> int | None:
    """The champion's version, if it was made from the data, parameters, code and lock file that are here.

    A fresh clone then has nothing to do. Data that are not here yet count as those that data.dvc names.
    """
    from ddpm import registry, tracking
    from ddpm.tracking import store

    if store.embedded() and not store.EMBEDDED.exists():
        return None  # nothing was ever recorded here
    try:
        champion = registry.status(name).champion
    except tracking.TrackingUnavailableError as error:
        say(f"the champion is not known now, so this run goes on: {error}")
        return None
    here = tracking.lineage(tracking.Changes())
    if champion is None or any(champion.tags.get(tag, "none") != here[tag] for tag in MADE_FROM):
        return None
    return None if "modified" in dvc.touched("data.dvc") else champion.number


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    return {path.as_posix(): files.sha256_file(path) for path in paths if path.exists()}
