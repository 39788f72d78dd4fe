"""Parts of small repositories."""

import os
import sys
from pathlib import Path

from tests.support import forked

DDPM = str(Path(sys.executable).with_name("ddpm"))
"""The command of this environment."""

DVC_YAML = """\
stages:
  shout:
    cmd: exec python shout.py
    deps: [data, shout.py]
    outs: [loud.txt]
    meta: {slot: gpu}
  count:
    cmd: wc -c < loud.txt > size.txt
    deps: [loud.txt]
    outs: [size.txt]
"""
SHOUT = """\
from pathlib import Path
print("shouting")
Path("loud.txt").write_text("".join(path.read_text().upper() for path in sorted(Path("data").iterdir())))
"""


def sh(folder: Path, *command: str) -> str:
    """Run a command in a folder, with the programs of this environment before others; its output."""
    programs = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = forked.run(command, cwd=folder, env=os.environ | programs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def beside(folder: Path) -> list[str]:
    """The files that an interrupted replacement leaves."""
    left = [*folder.glob("data.*"), *folder.glob(".state/data.*"), *folder.glob(".state/update.json")]
    return sorted(path.name for path in left if path.name != "data.dvc")
