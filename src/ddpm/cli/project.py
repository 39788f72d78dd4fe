"""The project folder, which the commands that run flows need: `flows` is not part of the installed package."""

import sys
from pathlib import Path


def enter(command: str) -> None:
    """Make the current folder's `flows` importable, as `python -m` does. Raises FileNotFoundError in another folder."""
    here = Path.cwd()
    if not (here / "flows" / "__init__.py").is_file() or not (here / "dvc.yaml").is_file():
        raise FileNotFoundError(
            f"{here} is not a project folder: `ddpm {command}` runs in a checkout, where flows/ and dvc.yaml are."
        )
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
