"""Write the API pages, one for each package and module, from the docstrings: `python scripts/api_docs.py FOLDER`.

pdoc imports what it documents; a warning of pdoc is an error here.
"""

import argparse
import os
import pkgutil
import shutil
import sys
import tempfile
import warnings
from importlib import import_module, metadata
from pathlib import Path

import pdoc
from pdoc import extract, render

import ddpm

sys.path.insert(0, str(Path(__file__).parents[1]))  # flows is a package of the checkout, and is not installed
PACKAGES = ("ddpm", "flows")
INDEX = "search.js"
"""The file of the pages that nothing else has."""


def main() -> int:
    """Write the pages; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    folder = parser.parse_args().folder
    if Path(folder).exists() and not Path(folder, INDEX).exists():
        sys.exit(f"docs: {folder} exists and does not hold API pages, so it is not replaced. Name another folder.")
    with tempfile.TemporaryDirectory() as home:
        os.environ["PREFECT_HOME"] = home  # Prefect makes its folder when it is imported
        names = modules()
        for name in names:  # imported before pdoc does, which forbids libraries to start processes meanwhile
            import_module(name)
        # the names that `ddpm` imports at their first use: pdoc looks for them in its dictionary
        vars(ddpm).update({name: getattr(ddpm, name) for name in ddpm.__all__})
        write(names, Path(folder))
    print(f"docs: {len(names)} modules; open {folder}/index.html")
    return 0


def write(names: list[str], folder: Path) -> None:
    """Write the pages of imported modules to a new folder. Raises Warning for what pdoc warns of."""
    render.configure(docformat="markdown", footer_text=f"ddpm {metadata.version('ddpm')}")
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*specifications(names), output_directory=folder)


def specifications(names: list[str]) -> list[str]:
    """The packages, and the modules that pdoc does not find from them; pdoc refuses a module that is found twice."""
    chosen, found = list(PACKAGES), set(extract.walk_specs(PACKAGES))
    for name in sorted(names):  # a package before its modules
        if name not in found:
            chosen.append(name)
            found |= set(extract.walk_specs([name]))
    return chosen


def modules() -> list[str]:
    """Full names of all modules; pdoc by itself leaves out those that the `__all__` of their package does not list."""
    found = list(PACKAGES)
    for package in PACKAGES:
        path = import_module(package).__path__
        found += [
            each.name for each in pkgutil.walk_packages(path, f"{package}.") if not each.name.endswith("__main__")
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
