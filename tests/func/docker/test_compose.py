"""The compose file, held by its specification's schema and by what a team's servers must never be."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
ONCE = {"buckets"}
"""Services that run once and end: there is nothing to ask for their health, and nothing to start again."""
COMPOSE: dict[str, Any] = YAML(typ="safe").load(DOCKER / "compose.yaml")
SERVICES = sorted(COMPOSE["services"])


@pytest.fixture(params=SERVICES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def test_it_is_what_the_specification_says() -> None:
    schema = json.loads((Path(__file__).parent / "schema" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(json.loads(json.dumps(COMPOSE)))


def test_docker_compose_reads_it_where_it_is_installed(tmp_path: Path) -> None:
    asked = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed here")
    command = ["docker", "compose", "--file", str(DOCKER / "compose.yaml"), "--profile", "*", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ports_are_published_on_this_machine_alone(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port)


def test_only_pages_are_published() -> None:
    published = {name for name in SERVICES if "ports" in COMPOSE["services"][name]}
    assert published == {"mlflow", "prefect", "serve"}


def test_it_is_on_the_internal_network_and_leaves_it_only_to_publish(service: dict[str, Any]) -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert service["networks"] == (["inside", "pages"] if "ports" in service else ["inside"])
    assert "network_mode" not in service


def test_its_health_is_asked_for(name: str, service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert check == {"disable": True} if name in ONCE else check["test"][0] == "CMD"


def test_others_wait_for_its_health_and_not_for_its_start(service: dict[str, Any]) -> None:
    for other, how in service.get("depends_on", {}).items():
        assert how["condition"] == ("service_completed_successfully" if other in ONCE else "service_healthy")


def test_it_can_do_as_little_as_possible(name: str, service: dict[str, Any]) -> None:
    assert service["init"] is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not {"privileged", "cap_add", "pid", "ipc"} & set(service)
    user = re.sub(r"\$\{\w+:-(\d+)\}", r"\1", service["user"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_its_image_is_of_one_version(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", service["image"])


def test_no_secret_is_in_it(service: dict[str, Any]) -> None:
    for key, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY|TOKEN|AUTH|CREDENTIAL|DATABASE|STORE_URI", key):
            assert value.startswith("/run/secrets/"), key
    assert not re.search(r"://[^/\s]*:[^/\s]*@", json.dumps(service))


def test_every_secret_it_reads_is_mounted_and_none_is_mounted_unread(service: dict[str, Any]) -> None:
    read = set(re.findall(r"/run/secrets/(\w+)", json.dumps(service)))
    if any("databases.sh" in str(volume) for volume in service.get("volumes", [])):
        read |= {
            f"postgres_{role}"
            for role in re.findall(r"^make (\w+) ", (DOCKER / "postgres/databases.sh").read_text(), re.M)
        }
    assert read == set(service.get("secrets", []))


def test_servers_that_listen_to_others_ask_who_they_are() -> None:
    mlflow, prefect = COMPOSE["services"]["mlflow"], COMPOSE["services"]["prefect"]
    assert "--app-name=basic-auth" in mlflow["command"]
    (hosts,) = [word for word in mlflow["command"] if word.startswith("--allowed-hosts=")]
    assert "*" not in hosts
    assert "PREFECT_SERVER_API_AUTH_STRING_FROM" in prefect["environment"]
    page = prefect["environment"]["PREFECT_SERVER_UI_API_URL"]
    assert page == prefect["environment"]["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] + "/api"
    assert "SERVE_TOKEN_FROM" in COMPOSE["services"]["serve"]["environment"]
    assert any(word.startswith("-s3.config=") for word in COMPOSE["services"]["store"]["command"])
    assert "--auth-host=scram-sha-256" in COMPOSE["services"]["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def test_every_secret_is_made_by_the_script_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert made.keys() == {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True, text=True)
    assert again.stdout == ""
    assert made == {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run([DOCKER / "secrets.sh", tmp_path / "other"], check=True, capture_output=True)
    assert not set(made.values()) & {path.read_text() for path in (tmp_path / "other").iterdir()}
    assert all(len(text.strip()) >= 40 for text in made.values())


def test_a_secret_reaches_the_command_and_a_missing_one_stops_it(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("se'cret $(x)")
    command = [DOCKER / "with-secrets.sh", "sh", "-c", 'printf %s "$WORD,${WORD_FROM-none}"']
    environment = os.environ | {"WORD_FROM": str(tmp_path / "word")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "se'cret $(x),none"
    (tmp_path / "word").write_text("")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "WORD_FROM names" in done.stderr


def test_git_takes_no_secret() -> None:
    for path in ("docker/secrets/mlflow_password", "docker/.env"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0
    for line in (DOCKER / ".env.example").read_text().splitlines():
        assert not re.match(r"\w*(PASSWORD|SECRET|KEY|TOKEN)\w*=", line)
