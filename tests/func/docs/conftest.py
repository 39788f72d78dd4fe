"""A fresh clone in which a small pipeline has run once, without network, with everything that the pages use."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support import forked
from tests.support.clones import clone, environment
from tests.support.databases import give_prefect
from tests.support.fault_pipeline import write_params
from tests.support.repositories import sh
from tests.support.surroundings import without_network

VERSIONS = """
import json
from pathlib import Path
from ddpm import registry
from ddpm.common import files
from ddpm.registry.versions import VERIFIED_TAG

first = registry.version("ddpm-mnist", 1)
evidence = files.read_json(Path("out/evaluate/metrics.json"))
for number in (2, 3, 4):  # the same weights, drawn with other settings
    evidence["conditions"]["steps"] = 2 + number
    assert registry.register(Path("out/train/model"), "ddpm-mnist", first.run_id, evidence) == number
    registry.annotate("ddpm-mnist", number, {VERIFIED_TAG: json.dumps({})})
"""


@dataclass(frozen=True)
class Project:
    """The clone, what the pipeline said, and whether it ran where there is no network but the loopback."""

    folder: Path
    said: str
    offline: bool

    def run(self, command: str) -> str:
        """Run a command line in the project; what it said. The test fails with its words if it does."""
        if command.startswith(("ddpm ", "dvc ")) and not set(command) & set("|&;<>$()`*?~#"):
            done = forked.run(shlex.split(command), cwd=self.folder, env=forked.stages(surroundings(self.folder)))
        else:
            done = subprocess.run(
                ["bash", "-ec", command], cwd=self.folder, env=surroundings(self.folder), capture_output=True,
                text=True, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        words = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{words}"
        assert "Traceback" not in words, words
        return words

    def strays(self) -> str:
        """List untracked files, as git shows them."""
        return sh(self.folder, "git", "status", "--porcelain")


def surroundings(folder: Path) -> dict[str, str]:
    """The clone's own code, wide lines, git without anybody's settings."""
    who = {f"GIT_{role}_{key}": "reader@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wide = {"COLUMNS": "200", "PATH": path, "DVC_PAGER": "cat", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return environment(folder) | who | wide


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        folder = clone(tmp_path_factory.mktemp("docs") / "clone")
    write_params(folder, {"promote": {"name": "ddpm-mnist"}, "sample": {"count": 100, "steps": 2, "strip": 2}})
    give_prefect(folder / ".state/prefect", prefect_home)
    isolated = without_network()
    command = [*(isolated or [sys.executable]), "-m", "flows"]  # as `ddpm run`
    first = subprocess.run(command, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False)
    project = Project(folder, first.stdout + first.stderr, offline=isolated is not None)
    assert first.returncode == 0, project.said
    (folder / "versions.py").write_text(VERSIONS)
    project.run(f"{sys.executable} versions.py")
    (folder / "versions.py").unlink()
    pictures(project.run, folder)
    return project


def pictures(run: Callable[[str], str], folder: Path) -> None:
    """The files that the pages name: a.png, small.png, and folders of real and of drawn images beside the project."""
    shutil.unpack_archive(folder / "data" / "digits.zip", folder.parent / "own")
    some = sorted((folder.parent / "own").rglob("*.png"))
    (folder.parent / "real").mkdir()
    for number, each in enumerate(some[::17][:100]):
        shutil.copyfile(each, folder.parent / "real" / f"{number}.png")
    with Image.open(some[0]) as picture:
        grey = picture.convert("L")
        grey.save(folder / "a.png")
        grey.resize((4, 4)).save(folder / "small.png")
    run("ddpm sample --model models:/ddpm-mnist/1 --count 100 --out ../drawn")


def hint(said: str) -> str:
    """The command that a run names for later comparisons."""
    found = re.search(r"git add .* && git commit -m \w+", said)
    assert found, said
    return found[0]
