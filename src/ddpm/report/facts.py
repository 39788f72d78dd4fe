"""The facts at the top of the page: date, data set, machine, network, training, and the pages of its runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ddpm.common.units import count, score_number
from ddpm.data import pointer
from ddpm.report.run_summary import RunSummary

WEIGHTS = "weights.safetensors"
SHORT = 12  # characters of a hash; the lineage has all of them


@dataclass(frozen=True)
class Fact:
    """A fact: name, value, and the address of its page ("" for none)."""

    name: str
    value: str
    address: str = ""


@dataclass(frozen=True)
class Training:
    """Properties of the training: name of its data set, parameters of the network, images seen; 0 or "": unknown."""

    data: str = ""
    parameters: int = 0
    images: float = 0


def read(train: Path) -> Training:
    """Read the properties of the training under `train`, the output of its stage, in the current folder."""
    from ddpm.evaluation import history

    rows = history.read(train / "history.csv") if (train / "history.csv").is_file() else []
    seen = float(rows[-1]["images"]) if rows else 0
    return Training(data_name(), parameters(train / "model" / WEIGHTS), seen)


def data_name(path: Path = pointer.POINTER) -> str:
    """Name the data: the embedded set, the last part of the import source, or the folder that was added."""
    try:
        recorded, sources = pointer.output(path), pointer.sources(path)
    except (ValueError, OSError):
        return ""  # the page needs no data; DVC reports a damaged file
    names = [name for name in pointer.embedded() if pointer.embedded_hash(name) == recorded.get("md5")]
    source = [Path(str(each["path"])).name for each in sources]
    return next(iter([*names, *source]), str(recorded.get("path", "")))


def parameters(path: Path) -> int:
    """Count the numbers in a file of weights from its header; 0 without the file."""
    from safetensors import safe_open

    if not path.is_file():
        return 0
    with safe_open(path, framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def rows(
    training: Training, statistics: Mapping[str, Any], config: Mapping[str, Any], summary: RunSummary | None
) -> list[Fact]:
    """List the facts that are known. statistics: of the prepared images; config: of the model."""
    found = [Fact("Date", _date(summary.date))] if summary and summary.date else []
    found.append(Fact("Data set", _data(training, statistics, summary)))
    found += [Fact("Network", text)] if (text := _network(training, config)) else []
    if training.images:
        epochs = score_number(training.images / statistics["train"])
        found.append(Fact("Training", f"{training.images:,.0f} images seen, {epochs} epochs"))
    if summary is None:
        return found
    machine = {key.removeprefix("ddpm."): value for key, value in summary.machine.items()}
    if machine:
        count = str(machine.get("threads", ""))
        threads = f", {count} thread{'' if count == '1' else 's'}" if count else ""
        found.append(Fact("Machine", f"{machine.get('cpu', 'unknown processor')}{threads}"))
        found.append(Fact("Device, torch", f"{machine.get('device', 'unknown')}, torch {machine.get('torch', '?')}"))
    else:
        found.append(Fact("Machine", summary.hardware))
    runs = dict(summary.runs) or {f"MLflow run {summary.registered['run_id']}": ""}
    return [*found, *(Fact(*_run(title), _address(address)) for title, address in runs.items())]


def _address(text: str) -> str:
    """Return an address that a page may link to; "" for any that is not a web address."""
    return text if text.startswith(("http://", "https://")) else ""


def _run(title: str) -> tuple[str, str]:
    """Split `MLflow run 7e2b` into its title and the start of the run's ID."""
    name, _, run = title.rpartition(" ")
    return name, run[:SHORT]


def _date(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def _data(training: Training, statistics: Mapping[str, Any], summary: RunSummary | None) -> str:
    version = summary.lineage.get("ddpm.data_hash", "none") if summary else "none"
    digest = version.removesuffix(".dir") if version != "none" else str(statistics["sha256"])
    examples = "windows" if statistics.get("kind") == "series" else "images"
    counts = f"{statistics['train']:,} training and {statistics['heldout']:,} held-out {examples}"
    return f"{training.data or 'data'} ({digest[:SHORT]}): {counts}"


def _network(training: Training, config: Mapping[str, Any]) -> str:
    net, image = config.get("net", {}), config.get("image", {})
    side, channels = image.get("resolution"), image.get("channels")
    parts = [str(net.get("kind", ""))]
    parts += [f"{count(training.parameters)} parameters"] if training.parameters else []
    shape = f"{side} × {channels}" if image.get("kind") == "series" else f"{side} × {side} × {channels}"
    parts += [shape] if side and channels else []
    return ", ".join(filter(None, parts))
