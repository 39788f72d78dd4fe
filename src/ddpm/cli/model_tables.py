"""What `ddpm status` and `ddpm history` show: tables for the terminal, values for `--json`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ddpm.cli.tables import Column, show
from ddpm.common import terminal
from ddpm.common.units import score_number

if TYPE_CHECKING:
    from ddpm.registry import Move, Status, Version

STATUS_NARROWING = ("registered", "data", "code", "IS", "loads", "aliases", "extractor", "registered")
HISTORY_NARROWING = ("when", "by", "by", "when")
SHOWN_SCORES = (
    "fid", "kid", "precision", "recall", "inception_score", "class_accuracy", "memorisation_ratio",
)  # fmt: skip


def show_versions(versions: Sequence["Version"]) -> None:
    """Print the versions; the extractor of their FIDs once, if it is the same for all."""
    from rich.console import Console

    extractors = [str(each.scores.conditions.get("extractor", "")) for each in versions]
    if len(set(filter(None, extractors))) == 1:
        terminal.echo(f"FID of features of {max(extractors)}")
        extractors = [""] * len(versions)
    dates = [each.created.astimezone() for each in versions]
    aliases = [each.aliases for each in versions]
    columns = {
        "version": Column(([str(each.number) for each in versions],), required=True),
        "aliases": Column(([", ".join(each) for each in aliases], [",\n".join(each) for each in aliases]), True),
        "registered": Column(([f"{each:%Y-%m-%d %H:%M}" for each in dates], [f"{each:%Y-%m-%d}" for each in dates])),
        "FID": Column(([_score(each.scores.fid) for each in versions],), required=True),
        "extractor": Column((extractors,)),
        "IS": Column(([_score(each.scores.inception_score) for each in versions],)),
        "gate": Column(([_verdict(each) for each in versions],), required=True, minimum=14),
        "loads": Column(([_loads(each) for each in versions],)),
        "code": Column(([_code(each) for each in versions],)),
        "data": Column(([each.tags.get("ddpm.data_hash", "")[:8] for each in versions],)),
    }
    bold = [index for index, each in enumerate(versions) if "champion" in each.aliases]
    if missing := show(Console(), columns, STATUS_NARROWING, bold):
        terminal.echo(f"a wider terminal also shows: {', '.join(missing)}; `ddpm lineage VERSION` shows everything")


def show_moves(moves: Sequence["Move"]) -> None:
    """Print the moves of the champion; the outcome of each beside its kind where there is no room for a column."""
    from rich.console import Console

    times = [each.when.astimezone() for each in moves]
    unusual = [each.kind if each.outcome == "done" else f"{each.kind}\n({each.outcome})" for each in moves]
    columns = {
        "#": Column(([str(each.sequence) for each in moves],), required=True),
        "when": Column(([f"{each:%Y-%m-%d %H:%M:%S}" for each in times], [f"{each:%Y-%m-%d}" for each in times])),
        "move": Column((unusual,), required=True),
        "from": Column(([str(each.origin or "-") for each in moves],), required=True),
        "to": Column(([str(each.target) for each in moves],), required=True),
        "by": Column(([each.who for each in moves], [each.who.split("@")[0] for each in moves])),
        "why": Column(([each.why for each in moves],), required=True, minimum=24),
    }
    if missing := show(Console(), columns, HISTORY_NARROWING):
        terminal.echo(f"a wider terminal also shows: {', '.join(missing)}")


def versions_json(found: "Status", address: str) -> dict[str, Any]:
    """Return the content of `ddpm status --json`. address: of the record, without secrets."""
    return {
        "model": found.name,
        "tracking_uri": address,
        "aliases": dict(found.aliases),
        "versions": [_version_json(each) for each in found.versions],
    }


def moves_json(name: str, moves: Sequence["Move"]) -> dict[str, Any]:
    """Return the content of `ddpm history --json`, oldest move first."""
    return {"model": name, "moves": [asdict(each) | {"when": each.when.isoformat()} for each in moves]}


def _version_json(version: "Version") -> dict[str, Any]:
    from ddpm.registry import approval

    scores, asked = version.scores, approval.read(version)
    return {
        "version": version.number,
        "aliases": list(version.aliases),
        "registered": version.created.isoformat(),
        "run_id": version.run_id,
        "verdict": version.tags.get("ddpm.verdict"),
        "reasons": version.tags.get("ddpm.reasons"),
        "approval": asked.state if asked else None,
        "loads": _loads(version),
        "extractor": scores.conditions.get("extractor"),
        "count": scores.conditions.get("count"),
        "scores": {name: value for name in SHOWN_SCORES if (value := scores.value(name)) is not None},
        "git_sha": version.tags.get("ddpm.git_sha"),
        "git_dirty": version.tags.get("ddpm.git_dirty") == "true",
        "data_hash": version.tags.get("ddpm.data_hash"),
        "classes": version.classes,
    }


def _score(value: float | None) -> str:
    return score_number(value)


def _verdict(version: "Version") -> str:
    """Return the gate's verdict, and the state of the approval if one was requested."""
    from ddpm.registry import approval

    asked = approval.read(version)
    return ", ".join(word for word in (version.tags.get("ddpm.verdict"), asked.state if asked else None) if word)


def _loads(version: "Version") -> str:
    """Return the result of loading and sampling the version in a clean process."""
    return "yes" if version.verified else "no" if "ddpm.failed" in version.tags else "untried"


def _code(version: "Version") -> str:
    """Return the abbreviated commit, with `+` for uncommitted changes."""
    return version.tags.get("ddpm.git_sha", "")[:8] + ("+" if version.tags.get("ddpm.git_dirty") == "true" else "")
