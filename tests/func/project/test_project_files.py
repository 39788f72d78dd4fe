"""Files for contributors: CONTRIBUTING, CHANGELOG, CITATION, the pre-commit hooks, the workflow, versions for uv."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "README.md")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINK = re.compile(r"\[[^]]+\]\(([^)#]+)(?:#[^)]*)?\)")
COMMIT = re.compile(r"\[([0-9a-f]{7,40})\]\(\.\./\.\./commit/([0-9a-f]{7,40})\)")
CITATION_KEYS = {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license", "keywords"}
"""Of the keys that the Citation File Format 1.2.0 knows, those that this project needs."""


def yaml(name: str) -> Any:
    return YAML(typ="safe").load((ROOT / name).read_text())


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    targets = [each for each in LINK.findall((ROOT / page).read_text()) if not each.startswith(("https:", "../"))]
    assert not [each for each in targets if not (ROOT / each).exists()]
    assert page == "CHANGELOG.md" or targets


def test_the_names_in_a_row_of_the_guide_are_in_the_files_of_that_row() -> None:
    rows = [line for line in GUIDE.splitlines() if line.startswith("| [")]
    checked = 0
    for row in rows:
        files = [ROOT / each for each in LINK.findall(row) if each.endswith(".py")]
        for name in re.findall(r"`(?:\w+\.)?(_?[A-Za-z]\w+)`", row):
            assert any(re.search(rf"\b{name}\b", each.read_text()) for each in files), f"{name} in {row}"
            checked += 1
    assert checked >= 6


def test_commits_of_the_guide_exist_and_have_done_what_they_are_an_example_of() -> None:
    if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("needs the history")
    for section in re.split(r"^### ", GUIDE, flags=re.M)[1:]:
        found = COMMIT.findall(section)
        assert found, section.splitlines()[0]
        parts = {Path(each).parent.name for each in LINK.findall(section)} & {"diffusion", "metrics", "nets"}
        for shown, target in found:
            assert shown == target
            touched = git("show", "--name-only", "--format=", shown).split()
            assert parts & {Path(each).parent.name for each in touched}, f"{shown} touched {touched}"


def test_make_has_the_targets_that_the_guide_names() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", GUIDE, re.M))
    assert {"lint", "test", "docs", "lock"} <= named <= targets


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert lines[0] == "# Changelog"
    releases = [line for line in lines if line.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in releases[1:])
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    tags = git("tag", "--list", "v*").split() if (ROOT / ".git").exists() else []
    assert {f"v{each.split('[')[1].split(']')[0]}" for each in releases[1:]} >= set(tags)


def test_the_citation_is_valid_and_has_the_package_s_version() -> None:
    citation = yaml("CITATION.cff")
    assert citation.keys() <= CITATION_KEYS
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"]
    assert citation["type"] == "software"
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert all(each.keys() == {"name"} for each in citation["authors"])
    holder = re.search(r"^Copyright \(c\) (.*)$", (ROOT / "LICENSE").read_text(), re.M)
    assert holder
    assert [each["name"].lower() for each in citation["authors"]] == [holder[1].lower()]


def test_the_hooks_are_the_commands_of_make_lint() -> None:
    dry = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [line for line in dry.splitlines() if line.startswith((".venv/bin/ruff", ".venv/bin/mypy"))]
    commands += [line for line in dry.splitlines() if line.startswith(".venv/bin/python scripts/")]
    (repository,) = yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert [each["entry"] for each in hooks] == commands
    assert len(commands) == 5
    assert all(each["language"] == "system" and not each["pass_filenames"] for each in hooks)


def test_pre_commit_refuses_what_lint_refuses(tmp_path: Path) -> None:
    pytest.importorskip("pre_commit", reason="pre-commit is not installed: make lint installs it")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "a.py").write_text('"""A module."""\n\nimport os\n')
    run("git", "init", "--quiet")
    run("git", "add", ".pre-commit-config.yaml", "pyproject.toml", "a.py")
    hook = (sys.executable, "-m", "pre_commit", "run", "--all-files", "ruff-check")
    refused = run(*hook)
    assert refused.returncode == 1
    assert "F401" in refused.stdout
    (tmp_path / "a.py").write_text('"""A module."""\n')
    run("git", "add", "a.py")
    assert run(*hook).returncode == 0


def test_the_workflow_runs_what_ci_runs_with_read_permission_and_pinned_actions() -> None:
    workflow = yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    steps = job["steps"]
    assert [each["run"] for each in steps if "run" in each] == [".ci/run"]
    actions = {each["uses"].split("@")[0]: each for each in steps if "uses" in each}
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each["uses"]) for each in actions.values())
    checkout, python = actions["actions/checkout"]["with"], actions["actions/setup-python"]["with"]
    assert (checkout["fetch-depth"], checkout["persist-credentials"]) == (0, False)
    assert python["python-version"] == "3.11"
    locks = {each.name for each in ROOT.glob(python["cache-dependency-path"])}
    assert locks >= {"requirements-dev.lock", "requirements-inception.lock"}
    upload = actions["actions/upload-artifact"]
    assert upload["if"] == "failure()"
    assert f"SCREENSHOTS ?= $(CURDIR)/{upload['with']['path']}" in (ROOT / "Makefile").read_text()


def test_only_the_job_that_comments_may_write_and_it_runs_no_code_of_the_pull_request() -> None:
    workflow = yaml(".github/workflows/report.yml")
    assert workflow["permissions"] == {"contents": "read"}
    report, comment = workflow["jobs"]["report"], workflow["jobs"]["comment"]
    assert "permissions" not in report
    assert comment["permissions"] == {"pull-requests": "write"}
    assert "head.repo.full_name == github.repository" in comment["if"]
    assert not any("uses" in each for each in comment["steps"])
    uses = [each["uses"] for each in report["steps"] if "uses" in each]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each) for each in uses)
    runs = [each["run"] for job in (report, comment) for each in job["steps"] if "run" in each]
    assert not any("${{" in each for each in runs), "text of others would become a command"
    assert any("ddpm report --markdown" in each and "GITHUB_STEP_SUMMARY" in each for each in runs)


def test_uv_is_held_to_the_versions_of_the_lock_file() -> None:
    lock = [line for line in (ROOT / "requirements-dev.lock").read_text().splitlines() if not line.startswith("#")]
    assert PROJECT["tool"]["uv"]["constraint-dependencies"] == lock, "run python scripts/uv_pins.py"


def test_pins_are_written_taken_out_and_put_back_without_touching_the_rest() -> None:
    with_pins = runpy.run_path(str(ROOT / "scripts/uv_pins.py"))["with_pins"]
    text = (ROOT / "pyproject.toml").read_text() + "\n[tool.other]\nlist = [\n]\n"
    without = with_pins(text, "")
    assert tomllib.loads(without)["tool"]["uv"]["constraint-dependencies"] == []
    changed = with_pins(without, "# a comment\na==1 ; python_version < '3.12'\nb==2\n")
    assert tomllib.loads(changed)["tool"]["uv"]["constraint-dependencies"] == ["a==1 ; python_version < '3.12'", "b==2"]
    assert with_pins(changed, (ROOT / "requirements-dev.lock").read_text()) == text
    with pytest.raises(ValueError, match=r"must have the line"):
        with_pins("[project]\n", "")
