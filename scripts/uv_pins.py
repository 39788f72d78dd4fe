"""Write the versions of requirements-dev.lock into pyproject.toml, so that `uv sync` installs what pip does.

`uv sync` resolves pyproject.toml by itself; these constraints hold it to the same versions. `python scripts/uv_pins.py`
writes them; with --clear it removes them, for `make lock`, since uv would hold its own resolution to them as well.
"""

import argparse
import sys
from pathlib import Path

PROJECT, LOCK = Path("pyproject.toml"), Path("requirements-dev.lock")
BEGIN, END = "constraint-dependencies = [  # written by scripts/uv_pins.py from requirements-dev.lock\n", "]\n"


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clear", action="store_true", help="remove the versions")
    pins = "" if parser.parse_args().clear else LOCK.read_text(encoding="utf-8")
    PROJECT.write_text(with_pins(PROJECT.read_text(encoding="utf-8"), pins), encoding="utf-8")
    return 0


def with_pins(project: str, lock: str) -> str:
    """The text of pyproject.toml with the versions of a lock file in place of those that it has."""
    before, begin, rest = project.partition(BEGIN)
    if not begin:
        raise ValueError(
            f"{PROJECT} must have the line {BEGIN.strip()!r} in [tool.uv]; put it back, closed by a line ']'"
        )
    after = rest[rest.index(END) if rest.startswith(END) else rest.index(f"\n{END}") + 1 :]
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    return before + begin + "".join(f'    "{pin}",\n' for pin in pins) + after


if __name__ == "__main__":
    sys.exit(main())
