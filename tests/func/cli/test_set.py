"""`ddpm run --set`: what is written into params.yaml, and what is refused before anything is written."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ddpm.cli import overrides
from ddpm.common.locks import LockBusyError, locked
from ddpm.config import params, presets
from flows import RUN_LOCK
from tests.func.cli.conftest import ROOT, run


@pytest.fixture(autouse=True)
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The parameters of the quick preset, in the current folder."""
    (tmp_path / "params.yaml").write_text(presets.text(ROOT / "presets" / "quick.yaml"))
    monkeypatch.chdir(tmp_path)
    return Path("params.yaml").read_text()


def lines(before: str) -> list[tuple[str, str]]:
    """The lines of params.yaml that differ from before, without the items of lists."""
    old, new = (
        [line for line in text.splitlines() if not line.startswith("  - ")]
        for text in (before, Path("params.yaml").read_text())
    )
    return [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]


def test_values_are_written_with_their_comments_and_nothing_else_changes(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides.apply(
        ["train.lr=0.0005", "sample.count=600", "sample.guidance=2", "sample.guidance_interval=[0.1, 50.0]"]
    )
    settings = params.load()
    assert (settings.train.lr, settings.sample.count, settings.sample.guidance_interval) == (0.0005, 600, (0.1, 50.0))
    changed = lines(text)
    assert [new.split(":")[0].strip() for _, new in changed] == ["lr", "count", "guidance"]
    for old, new in changed:
        assert old.partition("#")[2] == new.partition("#")[2]
    said = capsys.readouterr().out
    assert "train.lr" in said
    assert "`git checkout params.yaml` reverts it" in said


@pytest.mark.parametrize(
    ("value", "read"),
    [("1e-5", 1e-5), ("0.00001", 1e-5), ("0.1", 0.1)],
)
def test_numbers_are_read_back_as_they_were_meant(value: str, read: float) -> None:
    overrides.apply([f"train.lr={value}"])
    assert params.load().train.lr == read
    assert isinstance(params.read_yaml(params.PARAMS_FILE)["train"]["lr"], float)


def test_words_null_empty_text_and_an_equals_sign_in_the_value() -> None:
    overrides.apply(["flow.max_drift=null", 'flow.branch=""', "promote.name=other"])
    settings = params.load()
    assert (settings.flow.max_drift, settings.flow.branch, settings.promote.name) == (None, "", "other")
    with pytest.raises(params.ParamsError, match=r"flow\.branch = 'a=b'"):
        overrides.apply(["flow.branch=a=b"])


def test_what_is_so_already_leaves_the_file_alone(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").stat()
    overrides.apply([f"train.lr={params.load().train.lr}"])
    assert Path("params.yaml").stat().st_mtime_ns == before.st_mtime_ns
    assert "already has these values" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["train.lrr=0.1"], r"train\.lrr is not a parameter; did you mean lr\?"),
        (["trian.lr=0.1"], r"trian is not a parameter; did you mean train\?"),
        (["train.lr=fast"], r"train\.lr = 'fast': input should be a valid number"),
        (["sample.count='500'"], r"sample\.count = '500': input should be a valid integer"),
        (["train.lr=-1"], r"train\.lr = -1"),
        (["train.lr=0.1", "sample.cuont=1"], r"sample\.cuont is not a parameter; did you mean count\?"),
        (["sample.count=7"], "sample.count = 7: 50 images are the fewest"),
        (["evaluate.blocks=7", "sample.count=500"], "evaluate.blocks = 7 must divide sample.count = 500"),
        (["sample.guide=out/weaker", "sample.guidance=2.0"], "params.yaml names missing or invalid files"),
        (["train.lr=[1"], "--set train.lr is not valid YAML"),
        (["train.lr={a: 1}"], r"train\.lr = "),
    ],
)
def test_what_is_not_valid_is_refused_and_nothing_is_written(text: str, assignments: list[str], words: str) -> None:
    with pytest.raises(params.ParamsError, match=words):
        overrides.apply(assignments)
    assert Path("params.yaml").read_text() == text


def test_two_changes_that_are_valid_only_together_are_taken_together() -> None:
    with pytest.raises(params.ParamsError, match="must divide"):
        overrides.apply(["sample.count=525"])
    overrides.apply(["sample.count=525", "evaluate.blocks=7"])
    assert (params.load().sample.count, params.load().evaluate.blocks) == (525, 7)


@pytest.mark.parametrize("assignment", ["train.lr", "lr=1", "=1", "train.=1", ".lr=1", "train.lr.x=1"])
def test_what_is_no_assignment_is_an_error_of_use(text: str, assignment: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not SECTION\.KEY=VALUE"):
        overrides.apply([assignment])
    assert Path("params.yaml").read_text() == text


def test_one_key_twice_is_an_error_of_use(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"train\.lr is set twice"):
        overrides.apply(["train.lr=1", "train.lr=2"])
    assert Path("params.yaml").read_text() == text


def test_a_value_shared_by_an_alias_is_not_changed_for_both() -> None:
    before, train, after = re.split("^(train:)$", Path("params.yaml").read_text(), flags=re.M)
    after = re.sub(r"^  batch: (\d+)", r"  batch: &size \1", after, count=1, flags=re.M)
    shared = before + train + re.sub(r"^  batch: \d+", "  batch: *size", after, count=1, flags=re.M)
    for assignment, batches in (("sample.batch=2", (32, 2)), ("train.batch=8", (8, 32))):
        Path("params.yaml").write_text(shared)
        assert (params.load().train.batch, params.load().sample.batch) == (32, 32)
        overrides.apply([assignment])
        assert (params.load().train.batch, params.load().sample.batch) == batches


@pytest.fixture
def busy() -> Iterator[None]:
    """Another run is at work in this folder."""
    ready, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(RUN_LOCK, ""):
            ready.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait(60)
    yield
    done.set()
    holder.join()


def test_nothing_is_edited_under_a_run_at_work(text: str, busy: None) -> None:
    with pytest.raises(LockBusyError, match=r"params\.yaml is not changed: another run is active in this checkout"):
        overrides.apply(["train.lr=0.5"])
    assert Path("params.yaml").read_text() == text


def test_an_error_ends_the_command_before_any_work_with_the_right_status(checkout: Path) -> None:
    shutil.copytree(ROOT / "flows", checkout / "flows", dirs_exist_ok=True)
    before = (checkout / "params.yaml").read_text()
    for words, status, said in (
        (["train.lrr=1"], 1, "train.lrr is not a parameter; did you mean lr?"),
        (["train.lr"], 2, "is not SECTION.KEY=VALUE"),
    ):
        done = run("ddpm", "run", "--set", *words, cwd=checkout, check=False)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr
    assert (checkout / "params.yaml").read_text() == before
    assert not (checkout / ".state/prefect").exists()
