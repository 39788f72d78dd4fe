"""Whether anything has changed since the pipeline last finished here: hashes of small files, then DVC's own answer."""

from collections.abc import Iterable
from pathlib import Path

from ddpm import files
from flows import stage

FINISHED = Path(".state/finished.json")
INPUTS = ("params.yaml", "dvc.yaml", "requirements.lock")
RESULTS = ("dvc.lock", "data.dvc")
CODE = ("src", "flows")


def fingerprint() -> dict[str, str]:
    """A hash for each file that says what a run would do; images and outputs are left to DVC."""
    code = [path for folder in CODE for path in sorted(Path(folder).rglob("*.py"))]
    return _hashes([*map(Path, INPUTS + RESULTS), *code])


def finished(before: dict[str, str]) -> None:
    """Note that the pipeline has finished; `before` is the fingerprint it started with."""
    files.write_json(FINISHED, before | _hashes(map(Path, RESULTS)))


def unchanged() -> bool:
    """Whether the last finished run is up to date. DVC is asked last, because that takes longest (a second)."""
    if not FINISHED.exists() or files.read_json(FINISHED) != fingerprint():
        return False
    return not stage.stale()


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    return {path.as_posix(): files.sha256_file(path) for path in paths if path.exists()}
