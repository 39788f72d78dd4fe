"""The files of `ddpm sample`: their names, their text, and what may be overwritten."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ddpm.cli import app, sample_output
from ddpm.data import sets, sources
from ddpm.imaging import pixels, sheets
from ddpm.sampling import chunks


@pytest.fixture
def sample(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        own = ["sample", "--model", str(tiny_checkpoint), "--steps", "2", *map(str, arguments)]
        done = CliRunner().invoke(app, own)
        return done.exit_code, done.output

    return run


def text(path: Path) -> dict[str, str]:
    with Image.open(path) as opened:
        opened.load()
        return dict(opened.text)


def test_a_folder_names_seed_and_class_and_its_files_their_model(sample, tiny_checkpoint: Path) -> None:
    assert sample("--count", 4, "--seed", 9, "--out", "drawn")[0] == 0
    names = ["seed-000009-dark.png", "seed-000010-light.png", "seed-000011-dark.png", "seed-000012-light.png"]
    assert sorted(path.name for path in Path("drawn").iterdir()) == names
    found = text(Path("drawn") / names[1])
    assert (found["seed"], found["label"], found["model"]) == ("10", "light", str(tiny_checkpoint))
    assert len(found["weights"]) == 64

    assert sample("--count", 4, "--seed", 9, "--out", "classes", "--by-class")[0] == 0
    source = sources.find(Path("classes"))
    paths = [each.path for each in source.entries]
    assert paths == [f"{name.removesuffix('.png').rpartition('-')[2]}/{name}" for name in np.take(names, [0, 2, 1, 3])]
    assert list(source.class_names(paths)) == ["dark", "dark", "light", "light"]
    flat, nested = (sets.open_set(Path(name)) for name in ("drawn", "classes"))
    assert sorted(each.tobytes() for each in flat.read(np.arange(4), 1)) == sorted(
        each.tobytes() for each in nested.read(np.arange(4), 1)
    )


def test_a_grid_has_a_column_for_each_class(sample) -> None:
    assert sample("--count", 6, "--out", "grid.png")[0] == 0
    found = text(Path("grid.png"))
    assert (found["seed"], found["label"]) == ("0 to 5", "dark, light")
    with Image.open("grid.png") as grid:
        assert grid.width == 2 * 80 + sheets.GAP
    assert sample("--count", 6, "--label", "light", "--out", "light.png")[0] == 0
    assert text(Path("light.png"))["label"] == "light"
    with Image.open("light.png") as grid:
        assert grid.width == 3 * 80 + 2 * sheets.GAP


@pytest.mark.parametrize(
    ("count", "classes", "columns"), [(64, 10, 10), (64, 0, 8), (64, 1, 8), (64, 21, 8), (64, 20, 20), (9, 10, 3)]
)
def test_columns_of_a_grid(count: int, classes: int, columns: int) -> None:
    assert pixels.grid_columns(count, classes) == columns


@pytest.mark.parametrize("out", ["a.png", "a.npy", "a.gif", "folder"])
def test_what_exists_is_overwritten_only_when_asked(sample, out: str) -> None:
    assert sample("--count", 2, "--out", out)[0] == 0
    code, output = sample("--count", 3, "--out", out)
    assert (code, output) == (1, f"error: --out {out} exists; name another, or use --overwrite\n")
    assert sample("--count", 3, "--out", out, "--overwrite")[0] == 0
    if out == "folder":
        assert len(list(Path(out).iterdir())) == 3
        Path("folder/mine.png").write_bytes(b"")
        code, output = sample("--count", 2, "--out", out, "--overwrite")
        assert code == 1
        assert "has files that this command does not write, such as mine.png" in output
        assert len(list(Path(out).iterdir())) == 4


def test_an_interpolation_is_not_overwritten_either(sample) -> None:
    ends = ("--from", 1, "--to", 2, "--count", 2, "--out", "way.png")
    assert sample(*ends)[0] == 0
    found = text(Path("way.png"))
    assert (found["from"], found["to"]) == ("1", "2")
    assert "use --overwrite" in sample(*ends)[1]
    assert sample(*ends, "--overwrite")[0] == 0


def test_class_folders_need_a_folder_and_usable_names(sample) -> None:
    assert "--by-class makes a folder of each class" in sample("--by-class", "--out", "a.png")[1]
    with pytest.raises(ValueError, match="trained without labels"):
        sample_output.class_folders([])
    for name in ("a/b", "..", ".hidden", "a\nb", ""):
        with pytest.raises(ValueError, match="cannot be the name of a folder"):
            sample_output.class_folders(["good", name])


def test_labels_that_are_not_file_names_become_ones(tmp_path: Path) -> None:
    labels = ["tench, Tinca tinca", "../up", "été", "/", "x" * 300]
    drawn = sample_output.Samples(chunks.Parts(tmp_path, 5, 5), 0, labels, (), {})
    assert [drawn.file_name(index) for index in range(5)] == [
        "seed-000000-tench_Tinca_tinca.png", "seed-000001-up.png", "seed-000002-été.png", "seed-000003.png",
        f"seed-000004-{'x' * 60}.png",
    ]  # fmt: skip
    assert all(sample_output.OWN_FILE.fullmatch(drawn.file_name(index)) for index in range(5))
