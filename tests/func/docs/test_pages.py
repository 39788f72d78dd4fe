"""Every command and snippet of README.md and docs/, run as written in a fresh clone, page by page."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML

from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params
from tests.func.docs.conftest import Project, hint, surroundings
from tests.support import forked
from tests.support.clones import states
from tests.support.databases import give_prefect
from tests.support.doc_pages import ROOT, Snippet, named, snippets
from tests.support.doc_table import ELSEWHERE, FILLED, IN_TEXT, OTHER_PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ALL = snippets()
SHELL = [each for each in ALL if each.kind == "shell"]
HERE = [each for each in SHELL if each.text not in ELSEWHERE]
PYTHON = [each for each in ALL if each.kind == "python"]
YAMLS = [each for each in ALL if each.kind == "yaml"]


def test_without_any_network_a_fresh_clone_ends_with_a_champion(project: Project) -> None:
    """The data, all servers and the check in a clean process need the loopback alone."""
    assert "ddpm-mnist version 1 promoted: the first champion" in project.said
    assert "Traceback" not in project.said
    if not project.offline:
        pytest.skip("only root on Linux can make a network namespace")


def test_the_run_says_what_to_commit_and_then_dvc_can_compare(project: Project) -> None:
    project.run(hint(project.said))
    for command in ("dvc metrics diff", "dvc plots diff"):
        said = project.run(command)
        assert "failed to load" not in said, said
    assert not [line for line in project.strays().splitlines() if "dvc_plots" in line or "dvc.lock" in line]


def test_a_second_machine_restores_the_model_and_reproduces_it(
    project: Project, prefect_home: Path, tmp_path: Path
) -> None:
    """docs/second-machine.md, with nothing in common but git and a DVC remote on another path."""
    first = Project(shutil.copytree(project.folder, tmp_path / "first", symlinks=True), project.said, project.offline)
    first.run(f"dvc remote add --default shared {tmp_path}/remote")
    first.run("git add .dvc/config data.dvc params.yaml dvc.lock && git commit --quiet -m results && dvc push")
    second = Project(tmp_path / "another" / "path" / "second", "", offline=False)
    first.run(f"git clone --quiet . {second.folder}")
    shutil.rmtree(first.folder)
    assert not list(second.folder.glob(".state")), "the record of the first machine is not there"
    second.run("dvc pull")
    model = Path("out/train/model/weights.safetensors")
    weights = files.sha256_file(project.folder / model)
    assert files.sha256_file(second.folder / model) == weights
    shutil.rmtree(second.folder / "out/train")
    give_prefect(second.folder / ".state/prefect", prefect_home)
    said = second.run(f"{sys.executable} -m flows")
    expected = dict.fromkeys(("data.dvc", "prepare", "features", "sample", "evaluate"), "Cached")
    assert {name: state for name, state in states(said).items() if name in {*expected, "train"}} == {
        **expected, "train": "Restored",
    }  # fmt: skip
    assert files.sha256_file(second.folder / model) == weights
    assert second.strays() == "", "nothing to commit"
    said = second.run("ddpm reproduce models:/ddpm-mnist@champion --here --into again")
    assert f"identical: the rebuilt weights equal the recorded ones bit for bit (SHA-256 {weights})" in said
    assert "Not recorded of the training's machine: cpu" in said
    assert files.sha256_file(second.folder / "again" / model) == weights


@pytest.mark.parametrize("command", list(dict.fromkeys(IN_TEXT)))
def test_a_command_in_a_sentence(project: Project, command: str) -> None:
    assert command in named() or command in {"ddpm data status"}
    project.run(filled(command))


@pytest.mark.parametrize("snippet", [each for each in PYTHON if not any(word in each.text for word in OTHER_PYTHON)],
                         ids=str)  # fmt: skip
def test_python_as_written_leaves_nothing_behind(project: Project, snippet: Snippet, tmp_path: Path) -> None:
    before = project.strays()
    environment = {key: value for key, value in surroundings(project.folder).items() if key != "PYTHONPATH"}
    text = snippet.text.replace("/path/to/checkout", str(project.folder))
    done = forked.run([sys.executable, "-c", f"{text}\nprint(images.shape)"], cwd=project.folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\(\d+, 8, 8, 1\)$", done.stdout, re.M), "as the digits of this clone are"
    assert project.strays() == before


@pytest.mark.parametrize("snippet", HERE, ids=str)
def test_a_command(project: Project, snippet: Snippet) -> None:
    project.run(filled(snippet.text))


@pytest.mark.parametrize("snippet", YAMLS, ids=str)
def test_parameters_are_taken(snippet: Snippet) -> None:
    values = params.read_yaml(ROOT / "params.yaml")
    for section, keys in YAML(typ="safe").load(snippet.text).items():
        values[section] = keys if "kind" in keys else values[section] | keys
    params.parse(values)


def filled(command: str) -> str:
    """The command with real names in place of placeholders."""
    for words, value in FILLED.get(command, {}).items():
        assert words in command
        command = command.replace(words, value)
    return command


def test_no_line_of_the_tables_is_of_yesterday() -> None:
    written = {each.text for each in SHELL} | set(named()) | set(IN_TEXT)
    assert not (FILLED.keys() | ELSEWHERE.keys()) - written
    missing = {path for path in [*ELSEWHERE.values(), *OTHER_PYTHON.values()] if not (ROOT / "tests" / path).is_file()}
    assert not missing
    assert all(any(word in each.text for each in PYTHON) for word in OTHER_PYTHON)


def test_every_command_that_the_text_names_exists() -> None:
    """Commands of `ddpm` with their options, targets of make, modules of Python."""
    root = typer.main.get_command(app)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    wrong = {text: where for text, where in named().items() if not _exists(text.split(), root, targets)}
    assert not wrong


def _exists(words: list[str], root: object, targets: set[str]) -> bool:
    if words[0] == "make":
        return words[1] in targets
    if words[:2] == ["python", "-m"]:
        path = words[2].replace(".", os.sep).replace("ddpm", "src/ddpm", 1)
        return "NAME" in path or any((ROOT / f"{path}{end}").exists() for end in (".py", "/__main__.py"))
    if words[0] != "ddpm":
        return True
    command: object = root
    for word in words[1:]:
        inner = getattr(command, "commands", {})
        if word in inner:
            command = inner[word]
        elif inner and not word.startswith("-"):
            return False
    options = {option for each in getattr(command, "params", []) for option in (*each.opts, *each.secondary_opts)}
    return all(word.partition("=")[0] in options | {"--help"} for word in words if word.startswith("--"))
