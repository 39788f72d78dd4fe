"""What dvc.yaml lists of the package, against what the stages import: no change of the mathematics goes unseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ddpm.serving.pack import PACKAGE, imports

STAGES = YAML(typ="safe").load((PACKAGE.parents[1] / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
# Reading parameters and files, choosing a device, showing and recording what happens: none of it shapes a result.
AROUND = (
    "files.py", "params.py", "sections/", "progress.py", "parent.py", "launch.py", "stopping.py", "tracking/",
    "runtime.py", "provenance/", "data/prepared.py", "data/errors.py", "redact.py", "terminal.py",
)  # fmt: skip
BESIDE = {
    "train": ("generate.py", "report/", "stages/sample.py"),  # the previews that are recorded while it trains
    "evaluate": ("nets/", "diffusion/denoiser.py"),  # it draws the schedule and builds no network
}


def reached(path: Path, ends: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    """Every file of the package that a file reaches by imports, not through those that start with one of `ends`."""
    for name in imports(path):
        inside = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if not name.startswith("ddpm.") or not inside.is_file():
            continue
        found = inside.relative_to(PACKAGE).as_posix()
        if found not in seen and not found.startswith(ends):
            seen.add(found)
            yield found
            yield from reached(inside, ends, seen)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_every_file_that_shapes_its_result(stage: str) -> None:
    listed = [Path(dep) for dep in STAGES[stage]["deps"]]
    found = list(reached(PACKAGE / "stages" / f"{stage}.py", AROUND + BESIDE.get(stage, ()), set()))
    unseen = [each for each in found if not any(Path("src/ddpm", each).is_relative_to(path) for path in listed)]
    assert found
    assert not unseen
