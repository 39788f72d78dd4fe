"""RunSummary that only the last flow run knows: verdict, champion, version, times, lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ddpm.common import files

PATH = Path(".state/report/facts.json")
Tone = Literal["good", "plain", "bad"]


@dataclass(frozen=True)
class RunSummary:
    """scores_sha256: the metrics.json that was judged. heading, tone: the verdict in a few words, and how they look.

    verdict: as gate.Verdict.as_json gives it. registered: name, version, aliases, champion, run_id. champion: the
    champion's scores under the same conditions, None without one. stages: stage, did, seconds, cpu_seconds,
    gpu_seconds of each, and `made`: the same three of the run that made its present files, None where nobody knows.
    seconds: of the whole run. lineage: tags of code, data, parameters and installed versions. hardware: a description.
    """

    scores_sha256: str
    heading: str
    tone: Tone
    verdict: Mapping[str, Any]
    registered: Mapping[str, Any]
    champion: Mapping[str, Any] | None
    stages: Sequence[Mapping[str, Any]]
    seconds: float
    lineage: Mapping[str, str]
    hardware: str


def write(summary: RunSummary, path: Path = PATH) -> None:
    """Keep them for `ddpm report`."""
    files.write_json(path, asdict(summary))


def read(path: Path = PATH) -> RunSummary | None:
    """Read the summary of the last run; None before the first. Raises ValueError for a file of another version."""
    if not path.is_file():
        return None
    found = files.read_json(path)
    if not isinstance(found, dict) or set(found) != {field.name for field in fields(RunSummary)}:
        raise ValueError(f"{path} is not what this version writes. Delete it, then `make run` writes it anew.")
    return RunSummary(**found)
