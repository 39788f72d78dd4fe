"""Summary of the last flow run for the report: verdict, champion, version, times, lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ddpm.common import files

PATH = Path(".state/report/facts.json")
Tone = Literal["good", "plain", "bad"]


@dataclass(frozen=True)
class RunSummary:
    """Results that only the flow run knows.

    scores_sha256: of the judged metrics.json. heading, tone: short verdict and its colour. verdict: as from
    gate.Verdict.as_json. registered: name, version, aliases, champion, run_id. champion: the champion's scores under
    the same conditions, None without one. stages: stage, did, seconds, cpu_seconds, gpu_seconds of each, and `made`:
    the same three of the run that made its current files, None if unknown. seconds: of the whole run. lineage: tags of
    code, data, parameters and installed versions. hardware: a description. judged: the candidate's scores that the gate
    compared with the champion's, None if there was nothing to compare. date: end of the run, ISO 8601 in UTC. machine:
    tags of the machine that trained, as in `provenance.machine`. runs: address of its page by title of each run, "" if
    no server that outlives the run is known.
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
    judged: Mapping[str, Any] | None = None
    date: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)


def write(summary: RunSummary, path: Path = PATH) -> None:
    """Save the summary for `ddpm report`."""
    files.write_json(path, asdict(summary))


def read(path: Path = PATH) -> RunSummary | None:
    """Read the summary of the last run; None before the first. Raises ValueError for a file of another version."""
    if not path.is_file():
        return None
    found = files.read_json(path)
    names = {each.name for each in fields(RunSummary)}
    optional = {each.name for each in fields(RunSummary) if (each.default, each.default_factory) != (MISSING, MISSING)}
    if not isinstance(found, dict) or not names - optional <= set(found) <= names:
        raise ValueError(f"{path} is from another version. Delete it; the next `make run` writes it.")
    return RunSummary(**found)
