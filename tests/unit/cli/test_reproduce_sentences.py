"""What `ddpm reproduce` says of the machine: facts that differ, apart from those that were not recorded."""

from types import SimpleNamespace
from typing import Any

from ddpm.cli.reproduce import sentences

MACHINE = {"cpu": ("not recorded", "B"), "threads": ("2", "1")}


def result(identical: bool, machine: dict[str, tuple[str, str]]) -> Any:
    lineage = SimpleNamespace(tag=lambda name: "ab" * 32)
    return SimpleNamespace(
        lineage=lineage, identical=identical, machine=machine, tensors={}, scores=(), unknown="", agree=None
    )


def test_what_was_not_recorded_is_not_called_a_difference() -> None:
    said = sentences(result(True, MACHINE))
    assert said[1:] == [
        "The machine differs: threads 2 then, 1 now.", "Not recorded of the training's machine: cpu.",
    ]  # fmt: skip
    assert sentences(result(True, {}))[1:] == []
    only_unknown = sentences(result(False, {"cpu": ("not recorded", "B")}))
    assert "Not recorded of the training's machine: cpu, any of which may explain it." in only_unknown
    assert any("Identical bits cannot be expected: threads" in line for line in sentences(result(False, MACHINE)))
