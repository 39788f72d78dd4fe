"""The Dockerfile: what hadolint's weightiest rules ask, and what only this project can know of its files."""

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
Stage = list[tuple[str, str]]


def instructions(text: str) -> Stage:
    """(INSTRUCTION, arguments), without comments, continued lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word
    ]


def stages() -> dict[str, tuple[str, Stage]]:
    """Name -> (what it is from, instructions)."""
    found: dict[str, tuple[str, Stage]] = {}
    name = ""
    for word, rest in instructions((ROOT / "docker" / "Dockerfile").read_text()):
        if word == "FROM":
            origin, _, name = re.split(r" (AS) ", rest)
            found[name] = (origin, [])
        else:
            found[name][1].append((word, rest))
    return found


STAGES = stages()
IMAGES = ("servers", "worker", "serve")
"""Stages that become images; the others are what these are made from."""


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param][1]


def test_bases_are_of_one_version_or_stages_before() -> None:
    names: list[str] = []
    for name, (origin, _) in STAGES.items():
        assert origin in names or re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", origin)
        names.append(name)


def test_the_images_of_the_compose_file_are_these() -> None:
    compose = YAML(typ="safe").load(ROOT / "docker" / "compose.yaml")
    built = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
    assert built == set(IMAGES)
    for service in compose["services"].values():
        build = service.get("build", {"context": "..", "dockerfile": "docker/Dockerfile"})
        assert (build["context"], build["dockerfile"]) == ("..", "docker/Dockerfile")


def test_an_image_runs_as_nobody_in_particular(image: Stage) -> None:
    users = [rest for word, rest in image if word == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    after = image[[word for word, _ in image].index("USER") :]
    assert not [word for word, _ in after if word in {"RUN", "COPY"}]


def test_an_image_can_be_asked_for_its_health_and_gets_signals(image: Stage) -> None:
    arguments = dict(image)
    assert re.search(r'CMD \[".*"\]$', arguments["HEALTHCHECK"])
    assert re.fullmatch(r'\[".*"\]', arguments["CMD"])
    if '"sh", "-c"' in arguments["CMD"]:
        assert '"exec ' in arguments["CMD"]  # the server itself gets the signals


@pytest.mark.parametrize("name", STAGES)
def test_no_step_does_what_hadolint_forbids(name: str) -> None:
    for word, rest in STAGES[name][1]:
        assert word not in {"ADD", "MAINTAINER", "SHELL"}
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word in {"ENV", "ARG"}:
            assert not re.search("PASSWORD|SECRET|TOKEN", rest)
        if word != "RUN":
            continue
        assert not re.search(r"\b(sudo|curl|wget|apt)\s", rest)
        if "apt-get" in rest:
            assert "apt-get update" in rest
            assert "install --yes --no-install-recommends" in rest
            assert rest.endswith("rm -rf /var/lib/apt/lists/*")
        if "pip install" in rest:
            assert "-r " in rest  # from the lock alone
            assert "PIP_NO_CACHE_DIR=1" in dict(STAGES["base"][1])["ENV"]


def copied() -> list[str]:
    """List the files that the images copy from the repository."""
    return [
        word
        for _, steps in STAGES.values()
        for instruction, rest in steps
        if instruction == "COPY"
        for word in [word for word in shlex.split(rest) if not word.startswith("--")][:-1]
    ]


def test_what_is_copied_exists_and_is_all_that_the_builder_gets() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert all(line.startswith("!") for line in lines[1:])
    for path in copied():
        assert (ROOT / path).is_file()
        assert any(fnmatch(path, line[1:]) for line in lines[1:]), f".dockerignore keeps {path} from the builder"
    assert {line[1:] for line in lines[1:]} == set(copied())


def test_the_lock_of_the_images_is_that_of_the_default_install_and_more() -> None:
    def pins(name: str) -> set[str]:
        return {line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")}

    assert pins("requirements.lock") < pins("requirements-team.lock") < pins("requirements-dev.lock")
    for name in ("psycopg2-binary", "asyncpg", "boto3", "dvc-s3", "flask-wtf"):
        assert any(line.startswith(f"{name}==") for line in pins("requirements-team.lock"))
