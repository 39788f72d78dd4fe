"""The servers of docker/compose.yaml, started without containers, and a whole small pipeline through them.

What stands in: Debian's PostgreSQL for the image, moto for the store (it checks no keys).
"""

import base64
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import processes
from flows.service import prefect_server
from tests.support import docker_servers as servers
from tests.support import forked
from tests.support.docker_servers import ROOT, Team
from tests.support.fault_pipeline import write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    for module in ("psycopg2", "boto3", "moto", "dvc_s3", "flask_wtf"):
        pytest.importorskip(
            module, reason=f"{module} is not installed: make test-team installs what a team's servers need"
        )
    if servers.postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql (make test-team does it as root)")
    with servers.started() as found:
        yield found


@pytest.fixture(scope="module")
def clone(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a pipeline that is smaller than the quick preset."""
    folder = tmp_path_factory.mktemp("team") / "clone"
    sh(team, ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    write_params(folder, {"promote": {"name": "ddpm-digits"}})
    shutil.copy(folder / "assets" / "datasets" / "digits.yaml", folder / "data.dvc")
    return folder


def sh(team: Team, folder: Path, *command: str) -> str:
    """Run a command as the worker would; its output."""
    environment = forked.stages(team.environment("worker") | {"PYTHONPATH": str(folder / "src")})
    environment["PREFECT_HOME"] = str(team.folder / "worker")
    done = subprocess.run(
        [str(servers.DOCKER / "with-secrets.sh"), *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def query(team: Team, secret: str, statement: str) -> Any:
    import psycopg2

    with psycopg2.connect(team.secret(secret).replace("+asyncpg", "")) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def objects(team: Team, bucket: str) -> list[str]:
    import boto3

    store = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{team.ports['store']}", region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


def basic(words: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}


def test_nobody_gets_in_without_the_password(team: Team) -> None:
    mlflow = f"http://127.0.0.1:{team.ports['mlflow']}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    prefect = f"http://127.0.0.1:{team.ports['prefect']}/api/admin/version"
    right = {mlflow: f"admin:{team.secret('mlflow_password')}", prefect: team.secret("prefect_auth")}
    for url, words in right.items():
        assert servers.answer(url) == 401
        assert servers.answer(url, **basic("admin:password1234")) == 401
        assert servers.answer(url, **basic(words)) == 200
    assert servers.answer(mlflow, Host="elsewhere.example.org", **basic(right[mlflow])) == 403


def test_one_server_cannot_read_the_database_of_another(team: Team) -> None:
    import psycopg2

    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(
            team.secret("mlflow_database").replace("/mlflow", "/prefect").replace("//prefect:", "//mlflow:")
        )


def test_the_pipeline_ends_with_a_champion_in_postgresql_and_its_files_in_the_store(team: Team, clone: Path) -> None:
    output = sh(team, clone, "ddpm", "run")
    assert "ddpm-digits version 1 promoted: the first champion" in output
    assert not (clone / ".state" / "mlflow").exists()
    assert query(team, "mlflow_database", "SELECT count(*) FROM model_versions WHERE name = 'ddpm-digits'") == 1
    assert query(team, "mlflow_database", "SELECT count(*) FROM runs WHERE status = 'FINISHED'") >= 1
    assert query(team, "prefect_database", "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'") == 1
    assert [name for name in objects(team, "mlflow") if name.endswith("weights.safetensors")]
    assert "presigned" not in (team.folder / "mlflow.log").read_text(), "a client was sent to the store itself"
    for secret in ("mlflow_password", "prefect_auth"):
        assert team.secret(secret) not in output


def test_results_go_to_the_store_and_come_back_equal(team: Team, clone: Path) -> None:
    sh(team, clone, "dvc", "remote", "add", "--default", "team", "s3://dvc/ddpm")
    sh(team, clone, "dvc", "push", "-q")
    assert objects(team, "dvc")
    kept = (clone / "out/train/model/weights.safetensors").read_bytes()
    shutil.rmtree(clone / "out")
    shutil.rmtree(clone / ".dvc" / "cache")
    sh(team, clone, "dvc", "pull", "-q")
    assert (clone / "out/train/model/weights.safetensors").read_bytes() == kept


def test_the_worker_of_the_compose_file_makes_its_pool_and_its_deployments(team: Team, clone: Path) -> None:
    port = prefect_server.free_port()
    own = {"PREFECT_HOME": str(team.folder / "worker"), "PYTHONPATH": str(clone / "src")}
    log = team.folder / "worker.log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [servers.DOCKER / "with-secrets.sh", servers.DOCKER / "worker.sh"], cwd=clone, text=True,
            env=team.environment("worker") | own | {"PREFECT_WORKER_WEBSERVER_PORT": str(port)},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        servers.wait(worker, f"http://127.0.0.1:{port}/health", log)
    finally:
        processes.stop(worker, grace=20)
    assert query(team, "prefect_database", "SELECT name FROM work_pool WHERE name = 'ddpm'") == "ddpm"
    names = query(team, "prefect_database", "SELECT string_agg(name, ' ' ORDER BY name) FROM deployment")
    assert names == "promote retrain rollback"
