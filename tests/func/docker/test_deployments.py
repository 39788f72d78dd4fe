"""prefect.yaml: deployments for work pools, held by the variables that the pools' templates know."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
PREFECT_YAML: dict[str, Any] = YAML(typ="safe").load(ROOT / "prefect.yaml")
DEPLOYMENTS = {each["name"]: each for each in PREFECT_YAML["deployments"]}
POOL = json.loads((ROOT / "docker" / "kubernetes-pool.json").read_text())
SHIPPED = json.loads((Path(__file__).parent / "templates.json").read_text())


def variables(name: str) -> set[str]:
    if "-" not in name:
        from prefect.workers.process import ProcessWorker

        return set(ProcessWorker.get_default_base_job_template()["variables"]["properties"])
    return set(POOL["variables"]["properties"] if name.endswith("-kubernetes") else SHIPPED["docker"])


def test_each_pool_has_the_deployments_of_the_service() -> None:
    from flows.service.runner import flows

    served = [each.name for each in flows()]
    assert sorted(DEPLOYMENTS) == sorted(f"{name}{pool}" for name in served for pool in ("", "-docker", "-kubernetes"))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_its_pool_knows_every_variable(name: str) -> None:
    assert set(DEPLOYMENTS[name]["work_pool"]["job_variables"]) <= variables(name)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_prefect_reads_it_and_finds_the_flow(name: str) -> None:
    from prefect.cli.deploy._models import DeploymentConfig
    from prefect.utilities.importtools import import_object

    config = DeploymentConfig.model_validate(DEPLOYMENTS[name])
    assert config.entrypoint is not None
    path, _, flow = config.entrypoint.partition(":")
    assert (ROOT / path).is_file()
    assert import_object(path.removesuffix(".py").replace("/", ".") + f".{flow}").name == name.partition("-")[0]


def test_only_one_deployment_has_its_schedule_switched_on() -> None:
    active = [
        name for name, each in DEPLOYMENTS.items() for when in each.get("schedules", []) if when.get("active", True)
    ]
    assert active == ["retrain"]


def test_secrets_are_references() -> None:
    for name, each in DEPLOYMENTS.items():
        for key, value in each["work_pool"]["job_variables"].get("env", {}).items():
            if re.search("PASSWORD|SECRET|KEY|AUTH", key):
                assert re.fullmatch(r"\{\{ prefect\.blocks\.secret\.[a-z-]+ \}\}", value), (name, key)


def test_the_values_for_kubernetes_are_what_the_pool_asks_for_and_moves_wait_for_no_gpu() -> None:
    asked = {name: each["work_pool"]["job_variables"] for name, each in DEPLOYMENTS.items() if "-kubernetes" in name}
    for each in asked.values():
        Draft202012Validator(POOL["variables"]).validate(each)
    gpus = {"retrain-kubernetes": 1, "promote-kubernetes": 0, "rollback-kubernetes": 0}
    assert {name: each["gpus"] for name, each in asked.items()} == gpus


def test_the_pool_of_kubernetes_is_prefects_own_and_more() -> None:
    known = set(POOL["variables"]["properties"])
    added = known - set(SHIPPED["kubernetes"])
    assert set(SHIPPED["kubernetes"]) <= known
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(POOL["job_configuration"])))
    assert added == {"gpus", "shared_memory", "checkout_claim", "secret"}
    assert added <= used <= known
    pod = POOL["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
    assert pod["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("package", "worker"), [("prefect_docker", "DockerWorker"), ("prefect_kubernetes", "KubernetesWorker")]
)
def test_the_shipped_template_has_these_variables_where_it_is_installed(package: str, worker: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed here")
    template = getattr(importlib.import_module(f"{package}.worker"), worker).get_default_base_job_template()
    assert sorted(template["variables"]["properties"]) == sorted(SHIPPED[package.removeprefix("prefect_")])
