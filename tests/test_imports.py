"""Who may import whom: read from the source, so that it holds for imports inside functions too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ddpm"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "flows").rglob("*.py")])


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; `from ddpm import gate` gives `ddpm.evaluation.gate`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    """`flows/stage.py`, or `metrics/scores.py` inside the package."""
    base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(base).as_posix()


def uses(path: Path, *modules: str) -> list[str]:
    return [each for each in imported(path) if any(each == one or each.startswith(f"{one}.") for one in modules)]


TOOLS = {
    "prefect": ("flows/",),
    "mlflow": ("tracking/", "registry/"),
    "dvc": ("flows/", "cli/", "data/"),
    "matplotlib": ("report/",),
    "rich": ("flows/", "cli/", "progress.py"),
    "typer": ("cli/",),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_has_its_place(tool: str) -> None:
    found = {name(path) for path in SOURCES if uses(path, tool)}
    assert found, f"nothing imports {tool}: the test looks in the wrong place"
    assert not {each for each in found if not each.startswith(TOOLS[tool])}


@pytest.mark.parametrize("part", ["diffusion", "nets", "metrics"])
def test_mathematics_knows_nothing_of_files_parameters_or_records(part: str) -> None:
    """These three know torch, numpy, scipy and torchmetrics, themselves, and none of each other."""
    allowed = (f"ddpm.{part}",)
    for path in (PACKAGE / part).rglob("*.py"):
        own = [each for each in uses(path, "ddpm") if not each.startswith(allowed)]
        assert not own, f"{name(path)} imports {own}"
        assert not uses(path, "mlflow", "prefect", "dvc", "pydantic", "ruamel", "rich"), name(path)


def test_flows_run_stages_as_processes_and_never_import_torch_or_what_trains() -> None:
    heavy = (
        "torch",
        "ddpm.stages",
        "ddpm.training.loop",
        "ddpm.model.build",
        "ddpm.diffusion",
        "ddpm.nets",
        "ddpm.metrics",
    )
    assert not {
        name(path): uses(path, *heavy) for path in SOURCES if name(path).startswith("flows/") and uses(path, *heavy)
    }


def test_what_the_project_is_measured_against_is_no_part_of_it() -> None:
    assert not {
        name(path): uses(path, "diffusers", "sklearn") for path in SOURCES if uses(path, "diffusers", "sklearn")
    }


def test_nothing_below_the_flows_imports_them() -> None:
    assert not [name(path) for path in PACKAGE.rglob("*.py") if uses(path, "flows")]


def test_parameters_reach_stages_and_build_only() -> None:
    """Below build.py, plain arguments: the typed parameters are not passed down."""
    allowed = ("stages/", "cli/", "tracking/", "provenance/", "build.py")
    found = {name(path) for path in PACKAGE.rglob("*.py") if uses(path, "ddpm.config.params")}
    assert not {each for each in found if not each.startswith(allowed)}


@pytest.mark.parametrize("module", ["ddpm.cli", "ddpm.config.params", "ddpm.evaluation.gate", "flows.__main__"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    heavy = ("torch", "mlflow", "matplotlib", "prefect", "dvc", "scipy", "sklearn")
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
