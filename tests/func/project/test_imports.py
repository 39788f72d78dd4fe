"""The import law, checked on the source, so that it also covers imports inside functions."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "ddpm"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "flows").rglob("*.py")])


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; `from ddpm.data import split` gives `ddpm.data.split`.

    Except below `if __name__ == "__main__"`, which no import of the module reaches.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [each for each in tree.body if not (isinstance(each, ast.If) and "__main__" in ast.unparse(each.test))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who is imported"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    """`flows/dvc.py`, or `metrics/scores.py` inside the package."""
    base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(base).as_posix()


def uses(path: Path, *modules: str) -> list[str]:
    return [each for each in imported(path) if any(each == one or each.startswith(f"{one}.") for one in modules)]


TOOLS = {
    "prefect": ("flows/",),
    "mlflow": ("tracking/", "registry/", "serving/"),
    "dvc": ("flows/", "cli/", "data/"),
    "matplotlib": ("report/",),
    "rich": ("flows/", "cli/", "common/progress.py"),
    "typer": ("cli/",),
    "starlette": ("flows/", "review/app.py"),
    "uvicorn": ("flows/", "review/server.py"),
    "httpx": ("notifications/", "flows/"),
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


def test_flows_never_import_the_command_line() -> None:
    found = {name(path): uses(path, "ddpm.cli") for path in SOURCES if name(path).startswith("flows/")}
    assert found, "no module of flows was read"
    assert not {path: names for path, names in found.items() if names}


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


FLOORS = (
    {"common"},
    {"imaging", "runtime", "diffusion", "nets", "metrics"},
    {"domains"},
    {"model", "data"},
    {"sampling", "exchange"},
    {"evaluation", "config"},
    {"report"},
    {"restore", "review", "provenance"},
    {"serving", "tracking"},
    {"registry", "training"},
    {"reproduce", "notifications", "api"},
    {"stages", "trials"},
    {"flows"},
    {"flows/tasks"},
    {"flows (recipes)"},
    {"flows/service"},
    {"cli", "flows (entries)"},
)
"""From the ground up: a package may import packages of lower floors only, and none of its own floor but itself."""
FLOWS = {
    "flows (recipes)": {"approval", "crash_recovery", "notify", "pipeline", "promotion", "retrain", "run_lock"},
    "flows (entries)": {"__main__", "moves"},
}
"""Modules of flows/ above its folder of tasks, or of all; the others are tools, which know no task."""


def package(path: Path) -> str:
    return _group(name(path).removesuffix(".py").split("/")) if "/" in name(path) else ""


def _group(parts: Sequence[str]) -> str:
    """The package that a path or a dotted name inside of the project belongs to."""
    if parts[0] != "flows" or len(parts) == 1:
        return parts[0]
    if (ROOT / "flows" / parts[1]).is_dir():
        return f"flows/{parts[1]}"
    return next((group for group, modules in FLOWS.items() if parts[1] in modules), "flows")


def test_every_package_has_its_floor_and_no_module_lies_loose() -> None:
    assert {package(path) for path in SOURCES} - {""} == set().union(*FLOORS)
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_the_architecture_page_has_every_package_with_its_floor_and_purpose() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([\w/]+)`(| \(\w+\)) \| \S.* \|$", page, re.M)
    listed = [(int(floor), f"{base}{group}") for floor, base, group in rows]
    assert sorted(listed) == sorted((number, each) for number, floor in enumerate(FLOORS, 1) for each in floor)


def test_packages_import_downward_only() -> None:
    floor = {each: number for number, packages in enumerate(FLOORS) for each in packages}
    upward = [
        f"{name(path)} imports {each}"
        for path in SOURCES
        for each in imported(path)
        if (target := _package_of(each)) and target != package(path) and floor[target] >= floor.get(package(path), -1)
    ]
    assert not upward


def _package_of(module: str) -> str:
    """The package that a module's full name leads to; empty for anything outside of the project."""
    parts = module.split(".")
    if parts[0] == "flows":
        return _group(parts)
    return parts[1] if parts[0] == "ddpm" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def test_no_module_imports_itself_through_others() -> None:
    """Also not by imports inside functions; a package's `__init__` counts as a module of its own."""
    modules = {_module(path): path for path in SOURCES}
    graph = {
        each: {_nearest(target, modules) for target in imported(path)} - {"", each} for each, path in modules.items()
    }
    circles = TopologicalSorter(graph)
    try:
        circles.prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def _module(path: Path) -> str:
    base = PACKAGE.parent if path.is_relative_to(PACKAGE) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def _nearest(target: str, modules: Mapping[str, Path]) -> str:
    """The module that holds a name; `from package import name` needs the package itself where it defines the name."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target


@pytest.mark.parametrize(
    "module",
    [
        "ddpm",
        "ddpm.cli",
        "ddpm.config.params",
        "ddpm.evaluation.gate",
        "ddpm.trials.request",
        "flows.service.foreground",
    ],
)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    heavy = ("torch", "mlflow", "matplotlib", "prefect", "dvc", "scipy", "sklearn")
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_test_module_imports_another() -> None:
    """Shared code is in tests/support."""
    tests = ROOT / "tests"
    for path in tests.rglob("*.py"):
        others = [each for each in imported(path) if re.search(r"(^|\.)test_", each) and each.startswith("tests.")]
        assert not others, f"{path.relative_to(ROOT)} imports {others}"
