"""Check that the loaded code is that of the current checkout.

An editable install runs the code of the checkout it was made from, in any folder, while DVC hashes the code of the
current folder. DVC's experiments in temporary folders are copies of a checkout without its ignored files: they run
their own code, and share record and checkpoints with the checkout they were copied from.
"""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SOURCE = Path("src/ddpm")
EXPERIMENTS = (".dvc", "tmp", "exps")
STATE = Path(".state")


class ForeignCodeError(ValueError):
    """The loaded code does not belong to the current folder's checkout."""


def require_own_code(folder: Path | None = None) -> None:
    """Raise ForeignCodeError if `folder` (by default the current one) is a checkout with other code than the loaded.

    A folder without `src/ddpm` is not a checkout and passes.
    """
    own = (folder or Path.cwd()) / SOURCE
    if own.is_dir() and not own.samefile(PACKAGE):
        raise ForeignCodeError(
            f"the loaded code is that of another folder ({PACKAGE}), but this checkout has its own "
            f"({own.resolve()}): results would be recorded as made by code that did not make them. "
            "Activate this folder's environment (`make run` creates .venv), or set PYTHONPATH=src."
        )


def experiment_project(folder: Path) -> Path | None:
    """Return the checkout that a DVC experiment's temporary folder was copied from; None for any other folder."""
    for parent in folder.parents:
        if parent.parts[-len(EXPERIMENTS) :] == EXPERIMENTS:
            return Path(*parent.parts[: -len(EXPERIMENTS)])
    return None


def enter_experiment(folder: Path | None = None) -> None:
    """Prepare a DVC experiment's temporary folder: link the project's `.state`, and run the queued code.

    If the project's code was loaded, the process is replaced by one with this folder's `src` first on PYTHONPATH. In
    any other folder nothing is done.
    """
    here = (folder or Path.cwd()).resolve()
    project = experiment_project(here)
    if project is None:
        return
    state = here / STATE
    if not state.exists():
        (project / STATE).mkdir(exist_ok=True)
        state.symlink_to(project / STATE, target_is_directory=True)
    own = here / SOURCE
    if own.is_dir() and not own.samefile(PACKAGE) and (project / SOURCE).samefile(PACKAGE):
        others = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(own.parent), *([others] if others else [])])
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONPATH": path})
