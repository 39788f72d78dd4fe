"""Registration once per content, and getting the checkpoint back."""

import filecmp
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from ddpm import registry, tracking
from ddpm.registry import lineage
from ddpm.registry.download import CACHE
from ddpm.serving import pack
from tests.func.registry.conftest import EVIDENCE, NAME, die_at
from tests.support.records import DIGEST

Make = Callable[..., int]


def test_a_model_is_registered_once_per_content(make: Make) -> None:
    assert [make("a"), make("b"), make("a"), make("b")] == [1, 2, 1, 2]
    assert [each.number for each in registry.status(NAME).versions] == [2, 1]


def test_the_newest_registration_is_the_candidate(make: Make) -> None:
    make("a")
    assert registry.status(NAME).aliases == {"candidate": 1}
    make("b")
    assert registry.status(NAME).aliases == {"candidate": 2}
    make("a")
    assert registry.status(NAME).aliases == {"candidate": 1}


@pytest.mark.parametrize(
    "where", ["create_registered_model", "log_artifacts", "create_model_version", "set_registered_model_alias"]
)
def test_a_registration_killed_between_two_steps_is_brought_to_its_end_once(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    die_at(monkeypatch, where, 1, lambda: make("a"))
    assert [make("a"), make("a")] == [1, 1]
    assert [each.number for each in registry.status(NAME).versions] == [1]
    assert registry.status(NAME).aliases == {"candidate": 1}


def test_a_version_says_where_it_comes_from(make: Make, run_id: str, tiny_checkpoint: Path) -> None:
    number = registry.register(tiny_checkpoint, NAME, run_id, EVIDENCE, {"ddpm.git_sha": "abc"})
    again = registry.register(tiny_checkpoint, NAME, run_id, {**EVIDENCE, "fid": 29.0}, {"ddpm.git_sha": "def"})
    found = registry.version(NAME, number)
    assert again == number
    assert found.evidence["fid"] == 29.0, "a new evaluation is noted"
    assert found.tags["ddpm.git_sha"] == "abc", "what made it stays"
    assert found.run_id == run_id
    assert not found.verified


def test_the_description_names_the_extractor_of_fid(make: Make, run_id: str, tiny_checkpoint: Path) -> None:
    def described(fid: float) -> str:
        evidence = {**EVIDENCE, "fid": fid, "conditions": {"extractor": "classifier"}}
        number = registry.register(tiny_checkpoint, NAME, run_id, evidence)
        return str(tracking.client().get_model_version(NAME, str(number)).description)

    assert [described(30.0), described(29.0)] == ["FID (classifier) 30.0", "FID (classifier) 29.0"]
    tracking.client().update_model_version(NAME, "1", "for the exhibition")
    assert described(28.0) == "for the exhibition"


def test_the_names_of_the_classes_are_on_the_version(make: Make) -> None:
    found = registry.version(NAME, make("d" * 64))
    assert found.tags["ddpm.classes"] == '["dark", "light"]'
    assert found.classes == ["dark", "light"]
    assert lineage.trace(f"models:/{NAME}/1").as_json()["classes"] == ["dark", "light"]


def test_a_version_has_the_lineage_of_its_training_not_of_its_registration(
    project: Path, tiny_checkpoint: Path
) -> None:
    run_id = tracking.complete(DIGEST, {"fid": 30.0}, tags={"ddpm.git_sha": "trained"})
    number = registry.register(tiny_checkpoint, NAME, run_id, EVIDENCE, {"ddpm.git_sha": "registered", "note": "x"})
    tags = registry.version(NAME, number).tags
    assert (tags["ddpm.git_sha"], tags["note"]) == ("trained", "x")


def test_no_name_no_versions(project: Path) -> None:
    assert registry.status("nobody") == registry.Status("nobody")


def test_an_unknown_version_is_named_with_those_there_are(make: Make) -> None:
    make("a")
    with pytest.raises(registry.RegistryError, match="no version 7; it has 1"):
        registry.version(NAME, 7)


def test_the_checkpoint_comes_back(make: Make, run_id: str, tiny_checkpoint: Path) -> None:
    number = registry.register(tiny_checkpoint, NAME, run_id, EVIDENCE)
    for uri in (f"models:/{NAME}/{number}", f"models:/{NAME}@candidate"):
        folder = registry.download(uri)
        for name in pack.PACKED_FILES:
            assert filecmp.cmp(folder / name, tiny_checkpoint / name, shallow=False)
    assert registry.download(str(tiny_checkpoint)) == tiny_checkpoint


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/digits@champion", "has no champion. It has: candidate"),
        ("models:/digits/9", "no version 9"),
        ("models:/digits", "not a model address"),
        ("models:/other@champion", "other is not a registered model at "),
        ("nowhere", "nowhere is not a model. Give models:/NAME@ALIAS"),
    ],
)
def test_a_wrong_address_is_answered_in_words(make: Make, uri: str, said: str) -> None:
    make("a")
    with pytest.raises(registry.RegistryError) as raised:
        registry.download(uri)
    assert said in str(raised.value)


@pytest.mark.parametrize("where", ["source", "cache"])
def test_changed_weights_are_refused(make: Make, where: str) -> None:
    number = make("a")
    if where == "cache":
        folder = registry.download(f"models:/{NAME}/{number}")
    else:
        source = registry.version(NAME, number).source
        folder = Path(source.removeprefix("file://")) / "artifacts" / "checkpoint"
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(registry.RegistryError, match="weights or config differ from those registered"):
        registry.download(f"models:/{NAME}/{number}")


def test_a_version_of_another_program_is_refused(make: Make) -> None:
    make("a")
    tracking.client().create_model_version(NAME, "file:///nowhere", None)
    with pytest.raises(registry.RegistryError, match="was not registered by this program"):
        registry.download(f"models:/{NAME}/2")


def test_a_cached_checkpoint_outlives_the_server(make: Make) -> None:
    number = make("a")
    registry.download(f"models:/{NAME}/{number}")
    shutil.rmtree(Path(registry.version(NAME, number).source.removeprefix("file://")))
    assert (registry.download(f"models:/{NAME}/{number}") / "config.json").exists()
    assert CACHE.is_dir()


def test_a_version_whose_files_are_gone_is_named(make: Make) -> None:
    number = make("a")
    registry.require_files(NAME, number)
    source = unquote(registry.version(NAME, number).source.removeprefix("file://"))
    (Path(source) / "artifacts/checkpoint/weights.safetensors").unlink()
    with pytest.raises(registry.RegistryError, match=r"version 1 are missing: weights.safetensors at .*ddpm rollback"):
        registry.require_files(NAME, number)
    shutil.rmtree(source)
    with pytest.raises(registry.RegistryError, match=r"are missing: config.json, weights.safetensors"):
        registry.require_files(NAME, number)
