"""MLFLOW_TRACKING_URI as people write it: understood, or refused in one sentence that keeps passwords to itself."""

import builtins
from pathlib import Path

import pytest

from ddpm import tracking
from ddpm.tracking import store
from ddpm.tracking.uri import fault, normalised
from tests.support.records import free_port


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://h:5000", "http://h:5000"),
        (" http://h:5000/ \n", "http://h:5000"),
        ("'http://h:5000'", "http://h:5000"),
        ('"https://u:p@h/mlflow/"', "https://u:p@h/mlflow"),
        ("HTTP://h:5000/#/experiments/1", "http://h:5000"),
        ("sqlite:////a/b.db\n", "sqlite:////a/b.db"),
        ("postgresql://u:p%2F@h/x", "postgresql://u:p%2F@h/x"),
        ("\t", ""),
    ],
)
def test_what_copying_adds_is_removed(text: str, meant: str) -> None:
    assert normalised(text) == meant
    assert not meant or fault(meant) == ""


def test_a_relative_database_is_one_file_for_processes_in_any_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///records/mlflow.db")
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/records/mlflow.db"
    store.quiet()
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/records/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mlruns", "a folder"),
        ("./mlruns", "a folder"),
        ("/var/mlruns", "a folder"),
        ("~/mlruns", "a folder"),
        ("file:./mlruns", "a folder"),
        ("file:///tmp/x/mlruns", "a folder"),
        ("C:\\mlruns", "a folder"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("mlflow.intra:5000/", "http://mlflow.intra:5000/"),
        ("databricks", "neither"),
        ("databricks://profile", "neither"),
        ("uc:x", "neither"),
        ("s3://bucket/mlruns", "neither"),
        ("ftp://h/x", "neither"),
        ("http://", "no host"),
        ("http://:5000", "no host"),
        ("http://h:port", "not an address"),
        ("http://h:99999", "not an address"),
        ("http://[::1", "not an address"),
        ("http://h 5000", "blank"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:x.db", "cannot read it"),
        ("postgres://u:geheim@h/x", "postgresql://"),
        ("postgresql://u:geheim@h:port/x", "cannot read it"),
        ("mysql://u:geheim@h/x", "MySQLdb is not installed, .*mysqlclient"),
        ("mysql+pymysql://u:geheim@h/x", "pymysql is not installed"),
        ("mssql://u:geheim@h/x", "pyodbc is not installed"),
    ],
)
def test_what_names_no_record_is_refused_in_one_sentence(uri: str, words: str, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(tracking.TrackingError, match=words) as caught:
        tracking.client()
    said = str(caught.value)
    assert "MLFLOW_TRACKING_URI" in said
    assert "\n" not in said
    assert "geheim" not in said


def test_a_missing_driver_is_named_with_its_lock_file(monkeypatch) -> None:
    original = builtins.__import__

    def without_psycopg2(name: str, *arguments, **named):
        if name.partition(".")[0] == "psycopg2":
            raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without_psycopg2)
    assert "pip install -r requirements-team.lock" in fault("postgresql://u:geheim@h/x")


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch) -> None:
    pytest.importorskip("psycopg2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://u:geheim@127.0.0.1:{free_port()}/x")
    with pytest.raises(tracking.TrackingUnavailableError, match="refused") as caught:
        tracking.client()
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("name", ["what?", "50%20 #1", "ü & 'x' \"y\""])
def test_the_embedded_record_lies_in_a_folder_of_any_name(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    connection = store.client()
    run = connection.create_run(store.experiment(connection, "ddpm"))
    connection.log_text(run.info.run_id, "x", "a b/c.txt")
    assert Path(connection.download_artifacts(run.info.run_id, "a b/c.txt")).read_text() == "x"
    assert store.embedded()
    assert [each.name for each in folder.iterdir()] == [".state"]
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (folder / ".state/mlflow/mlflow.db").stat().st_size
