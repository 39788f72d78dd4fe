"""Access to the project folder: commands that run flows need it, as `flows` is not part of the installed package."""

import sys
from pathlib import Path


def enter(command: str) -> None:
    """Make the current folder's `flows` importable, as `python -m` does. Raises FileNotFoundError in another folder."""
    here = Path.cwd()
    if not (here / "flows" / "__init__.py").is_file() or not (here / "dvc.yaml").is_file():
        raise FileNotFoundError(
            f"{here} is not a project folder: `ddpm {command}` runs in a checkout, which has flows/ and dvc.yaml."
        )
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
