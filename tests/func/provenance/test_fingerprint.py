"""Code that shapes a result: dvc.yaml against the files derived from imports, in both directions."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ddpm.provenance import fingerprint, imports

ROOT = Path(__file__).parents[3]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_exactly_the_code_that_shapes_a_stage_s_result(stage: str) -> None:
    listed = {name for name in STAGES[stage]["deps"] if name.startswith("src/")}
    derived = {f"src/ddpm/{path.relative_to(imports.PACKAGE).as_posix()}" for path in fingerprint.code_of(stage)}
    assert listed == derived


def test_known_files_are_derived() -> None:
    """An empty or truncated derivation would be noticed here."""
    names = {path.relative_to(imports.PACKAGE).as_posix() for path in fingerprint.code_of("rescore")}
    assert names >= {
        "runtime/device.py",
        "nets/unet.py",
        "metrics/frechet.py",
        "sampling/to_folder.py",
        "model/build.py",
    }
    assert not any(name.startswith(("tracking/", "cli/", "config/")) for name in names)


def test_a_digest_changes_with_content_and_names_but_not_with_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("x = 1\n")
    second.write_text("y = 1\n")
    before = fingerprint.digest([first, second], tmp_path)
    assert fingerprint.digest([second, first], tmp_path) == before
    second.write_text("y = 2\n")
    assert fingerprint.digest([first, second], tmp_path) != before


def test_imports_inside_functions_and_parents_are_reached(tmp_path: Path) -> None:
    entry = tmp_path / "entry.py"
    entry.write_text("def f():\n    from ddpm.nets import unet\n    import ddpm.common.files\n")
    found = {path.relative_to(imports.PACKAGE).as_posix() for path in imports.reached([entry])}
    assert found >= {"__init__.py", "nets/__init__.py", "nets/unet.py", "nets/layers.py", "common/files.py"}
    some = imports.reached([entry], lambda name: name == "nets/unet.py")
    assert "nets/layers.py" not in {path.relative_to(imports.PACKAGE).as_posix() for path in some}
