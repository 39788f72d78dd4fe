"""Every program of the project answers --help with exit status 0, and refuses what it does not know with status 2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from ddpm.cli import app
from tests.support import forked

ROOT = Path(__file__).parents[3]
PLACES = ("src", "flows", "scripts", "bench", "docker")
PROGRAMS = sorted(
    path.relative_to(ROOT).as_posix()
    for place in PLACES
    for path in (ROOT / place).rglob("*.py")
    if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
TOP = typer.main.get_command(app)


def start(program: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program as it is run: a package's module by its name, any other file by its path."""
    path = Path(program)
    module = ".".join(path.with_suffix("").parts).removeprefix("src.").removesuffix(".__main__")
    named = ["-m", module] if path.parts[0] in {"src", "flows"} else [str(ROOT / path)]
    home = str(folder.with_name("prefect"))  # which Prefect makes when it is imported
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PREFECT_HOME": home}
    return forked.run([sys.executable, *named, *arguments], cwd=folder, env=environment)


def test_the_programs_are_found() -> None:
    assert {"flows/__main__.py", "src/ddpm/stages/train.py", "scripts/audit.py", "bench/samplers.py"} <= set(PROGRAMS)
    assert len(PROGRAMS) > 20


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_printed_and_nothing_is_done(program: str, tmp_path: Path) -> None:
    done = start(program, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout.lower()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_unknown_is_refused_and_nothing_is_done(program: str, tmp_path: Path) -> None:
    done = start(program, "--no-such-option", folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "usage:" in done.stderr.lower()
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def verbs(group: TyperGroup, *before: str) -> list[tuple[str, ...]]:
    """Every command of `ddpm`, the groups too."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*before, name))
        if isinstance(command, TyperGroup):
            found += verbs(command, *before, name)
    return found


VERBS = verbs(TOP)  # type: ignore[arg-type]  # the top is a group


def test_the_front_door_has_the_whole_way() -> None:
    assert {("run",), ("retrain",), ("serve",), ("ui",), ("notify",), ("data", "use")} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_and_refuses_an_unknown_option(verb: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        runner = CliRunner()
        helped = runner.invoke(app, [*verb, "--help"])
        assert (helped.exit_code, "Usage:" in helped.output) == (0, True)
        refused = runner.invoke(app, [*verb, "--no-such-option"])
        assert refused.exit_code == 2, refused.output
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "retrain", "serve", "ui"])
def test_outside_a_checkout_one_sentence_names_the_project_folder(verb: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, [verb])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1, done.output
    assert f"is not a project folder: `ddpm {verb}` runs in a checkout" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_verbs_and_options(tmp_path: Path) -> None:
    """Use bash's protocol: the words in COMP_WORDS, the index of the word to complete in COMP_CWORD."""

    def completed(line: str) -> set[str]:
        words = line.split(" ")
        asked = {"_DDPM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run(
            [Path(sys.executable).with_name("ddpm")], cwd=tmp_path, env=os.environ | asked, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    assert {"run", "retrain", "serve", "ui", "notify", "sample"} <= completed("ddpm ")
    assert completed("ddpm re") == {"restore", "retrain", "review", "report", "reproduce", "reject"}
    assert "--accept-drift" in completed("ddpm retrain --")


TYPOS = {
    "sampel": "Did you mean 'sample'?",
    "data us": "Did you mean 'use'?",
    "sample --cuont 3": "No such option: --cuont",
    "sample --sampler eular": "sampler = 'eular' is unknown",
    "score --real a --fake b --extractor incepton": "--extractor incepton is unknown",
    "run --set train.lrr=1": "did you mean lr?",
    "try train.lrr=1": "did you mean lr?",
    "preset qiuck": "did you mean quick?",
    "--version": "ddpm ",
}


def test_typos_are_refused_before_torch_is_imported() -> None:
    """In a process of its own: those that the tests fork have imported torch."""
    code = f"""
import sys
from ddpm.cli import app
for typo in {list(TYPOS)}:
    try:
        app(typo.split())
    except SystemExit as ended:
        heavy = [name for name in ("torch", "mlflow", "dvc", "prefect", "scipy") if name in sys.modules]
        print("status", ended.code, *heavy, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    *found, rest = re.split(r"^status (.*)\n", done.stdout, flags=re.MULTILINE)
    assert rest == "", rest
    for (typo, words), output, status in zip(TYPOS.items(), found[::2], found[1::2], strict=True):
        assert words in output, typo
        assert status in (("0",) if typo == "--version" else ("1", "2")), typo
