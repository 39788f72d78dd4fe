"""The sets that come with the project: made by the script, offline in a fresh clone, verified, and alone in git."""

import importlib.util
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from ddpm.common.files import sha256_file
from ddpm.config import params
from ddpm.data.series import survey
from tests.func.cli.conftest import ROOT, run
from tests.support.imagefiles import encoded

STORE = "assets/dvcstore"


def script() -> object:
    spec = importlib.util.spec_from_file_location("make_data", ROOT / "scripts/make_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng compresses to other bytes than zlib")
@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_the_script_makes_the_committed_bytes(name: str, clone: Path, tmp_path: Path) -> None:
    script().main(["--set", name, str(tmp_path / "made.zip")])  # type: ignore[attr-defined]  # loaded from a path
    shutil.copy(clone / f"assets/datasets/{name}.yaml", clone / "data.dvc")
    run("dvc", "pull", "--quiet", "data.dvc", cwd=clone)
    assert files(clone / "data") == [f"{name}.zip"]
    assert sha256_file(clone / "data" / f"{name}.zip") == sha256_file(tmp_path / "made.zip")


def test_the_prices_of_oil_are_those_of_the_agency(clone: Path) -> None:
    """The prices at both ends, the lowest and the highest, and the source."""
    shutil.copy(clone / "assets/datasets/oil.yaml", clone / "data.dvc")
    run("dvc", "pull", "--quiet", "data.dvc", cwd=clone)
    assert files(clone / "data") == ["ATTRIBUTION.txt", "oil.csv"]
    assert "U.S. Energy Information Administration" in (clone / "data/ATTRIBUTION.txt").read_text()
    found = survey.survey(clone / "data")
    table, values = found.cleaned.table, found.cleaned.table.values[:, 0]
    assert (found.rows, found.missing, values[0], values[-1]) == (8321, "drop", 25.56, 46.92)
    extremes = {str(table.dates[at])[:10]: values[at] for at in (values.argmin(), values.argmax())}
    assert extremes == {"1986-03-31": 10.25, "2008-07-03": 145.31}


def test_the_default_is_mnist() -> None:
    assert (ROOT / "data.dvc").read_text() == (ROOT / "assets/datasets/mnist.yaml").read_text()


def test_git_has_what_the_sets_need_and_nothing_else(clone: Path) -> None:
    tracked = run("git", "ls-files", STORE, cwd=clone).stdout.split()
    named = set()
    for path in (clone / "assets/datasets").glob("*.yaml"):
        hash_of_folder = params.read_yaml(path)["outs"][0]["md5"]
        listing = clone / STORE / "files/md5" / hash_of_folder[:2] / hash_of_folder[2:]
        named |= {hash_of_folder} | {one["md5"] for one in json.loads(listing.read_text())}
    assert {Path(path).parent.name + Path(path).name for path in tracked} == named


def test_a_tampered_store_is_refused(clone: Path) -> None:
    largest = max((clone / STORE).rglob("*"), key=lambda path: path.stat().st_size)
    largest.chmod(0o644)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    done = run("dvc", "pull", "data.dvc", cwd=clone, check=False)
    assert done.returncode != 0
    assert not (clone / "data").exists() or files(clone / "data") == []


def test_push_never_puts_anything_into_git(checkout: Path, tmp_path: Path) -> None:
    """Neither stage outputs, nor a person's own images in `data` while data.dvc still names the embedded remote."""
    before = files(checkout / STORE)
    (checkout / "out/prepare").mkdir(parents=True)
    (checkout / "out/prepare/secret").write_text("secret")
    run("dvc", "commit", "--force", "prepare", cwd=checkout)
    done = run("dvc", "push", cwd=checkout, check=False)
    assert done.returncode != 0
    assert "no remote specified" in done.stderr
    assert files(checkout / STORE) == before

    run("dvc", "remote", "add", "--local", "--default", "mine", str(tmp_path / "mine"), cwd=checkout)
    run("dvc", "push", cwd=checkout)
    assert files(checkout / STORE) == before
    assert len(files(tmp_path / "mine")) == 2  # the folder and the file in it

    shutil.rmtree(checkout / "data")
    (checkout / "data").mkdir()
    (checkout / "data" / "own.png").write_bytes(encoded(np.zeros((8, 8), np.uint8)))
    run("dvc", "add", "--quiet", "data", cwd=checkout)
    assert "remote: embedded" in (checkout / "data.dvc").read_text()  # DVC keeps it, hence the line in .gitignore
    run("dvc", "push", "data.dvc", cwd=checkout)
    assert files(checkout / STORE) != before
    run("git", "add", "--all", cwd=checkout)
    assert STORE not in run("git", "status", "--porcelain", "--untracked-files=all", cwd=checkout).stdout
    told = run("ddpm", "data", "status", cwd=checkout).stdout
    assert "delete its line `remote: embedded`" in told


def test_experiments_change_parameters(checkout: Path) -> None:
    """`dvc exp run -S` on the first stage."""
    run("dvc", "exp", "run", "--single-item", "prepare", "-S", "prepare.holdout=0.25", "--name", "more", cwd=checkout)
    assert params.load(checkout / "params.yaml").prepare.holdout == 0.25
    held = params.read_yaml(checkout / "out/prepare/statistics.json")["heldout"]
    assert 1150 < held < 1350
    assert "more" in run("dvc", "exp", "show", "--csv", cwd=checkout).stdout
    again = run("dvc", "repro", "--single-item", "prepare", cwd=checkout)
    assert "didn't change, skipping" in again.stdout


def test_two_clones_prepare_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    run("dvc", "repro", "--single-item", "prepare", cwd=checkout)
    other = tmp_path / "else where"
    run("git", "clone", "--quiet", str(checkout), str(other), cwd=tmp_path)
    run("dvc", "pull", "--quiet", "data.dvc", cwd=other)
    run("dvc", "repro", "--single-item", "prepare", cwd=other)
    assert (checkout / "dvc.lock").read_text() == (other / "dvc.lock").read_text()


def test_the_stage_says_what_is_wrong_without_a_traceback(clone: Path) -> None:
    done = run("python", "-m", "ddpm.stages.prepare", cwd=clone, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: data does not exist. Fetch the data (`dvc pull data.dvc`) or choose others (`ddpm data use`).\n"
    )
    assert not (clone / "out").exists()
