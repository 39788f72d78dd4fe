"""`ddpm doctor` against folders in which something is wrong."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm.cli import app, machine_checks, project_checks
from ddpm.cli.findings import Finding
from ddpm.config import changes
from ddpm.runtime import hardware

ROOT = Path(__file__).parents[3]


def states(findings: Iterable[Finding]) -> list[str]:
    return [each.state for each in findings]


def test_this_checkout_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Nothing required is missing." in result.output


def test_empty_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "data.dvc" in result.output
    assert "params.yaml does not exist" in result.output


def test_versions_other_than_the_locked_ones_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("requirements.lock").write_text("# x\nnumpy==0.0.1\nno-such-thing==1.0\nwin==1 ; sys_platform == 'win32'\n")
    (found,) = machine_checks.packages()
    assert found.state == "missing"
    assert "not 0.0.1" in found.text
    assert "no-such-thing not installed" in found.text
    assert "win " not in found.text


def test_a_server_that_does_not_answer_is_missing_and_its_password_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    found = list(machine_checks.servers())
    assert states(found) == ["ok", "missing"]
    assert "secret" not in found[1].text


def test_locks_of_the_living_the_dead_and_the_reborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert states(machine_checks.locks()) == []
    lock = Path(".dvc/tmp/rwlock")
    lock.parent.mkdir(parents=True)
    dead = 2**22 + 1  # above the largest process id of Linux
    lock.write_text(json.dumps({"write": {"a": {"pid": dead, "cmd": "dvc repro"}}}))
    assert states(machine_checks.locks()) == ["note"]
    lock.write_text(json.dumps({"read": {"a": [{"pid": os.getppid(), "cmd": "dvc repro"}]}}))
    monkeypatch.setattr(machine_checks, "_command", lambda pid: ["something", "else"])
    assert states(machine_checks.locks()) == ["missing"]


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["cats/1.png", "dogs/2.png"], ""),
        (["1.png", "2.png"], "2 files in data have no class"),
        (["train/1.png", "test/2.png"], "2 files in data have no class"),
    ],
)
def test_images_without_classes_are_told_before_any_work(
    names: list[str], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    for name in names:
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        Path("data", name).write_bytes(b"x")
    told = [found.text for found in project_checks.scores() if found.state == "missing"]
    assert len(told) == bool(wrong)
    assert all(wrong in text and "features.extractor: auto" in text for text in told)
    unlabelled = {"prepare.labels": "none", "promote.min_class_share": None}
    unguided = {"sample.guidance": 1.0, "sample.guidance_interval": None}
    text = changes.in_text(Path("params.yaml").read_text(), unlabelled | unguided)
    Path("params.yaml").write_text(text)
    first, *others = project_checks.scores()
    assert (first.state, first.text) == ("ok", "from features of efficientnet-lite0")
    assert all(found.state == "note" for found in others)
    Path("params.yaml").write_text(changes.in_text(text, {"features.extractor": "inception"}))
    assert [
        "ddpm weights inception" in found.text for found in project_checks.scores() if found.state == "missing"
    ] == [True]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16", "amx_bf16"),
        ("flags\t\t: fpu avx512f avx512_bf16", "avx512_bf16"),
        ("flags\t\t: fpu avx512f avx512_bf16x", ""),
        ("Features\t: fp asimd", ""),
        (None, ""),
    ],
)
def test_bf16_is_suggested_where_the_cpu_has_instructions_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, named: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    suggested = [each.text for each in machine_checks.device() if "bf16" in each.text]
    assert len(suggested) == bool(named)
    assert all(f"has {named}:" in text and "train.precision: bf16" in text for text in suggested)
