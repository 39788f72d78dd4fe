"""Tags and sources that anybody can write into a registry: checked before they name a place, and read with care."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.common import validation
from ddpm.registry import approval, audit
from ddpm.registry.download import CACHE
from ddpm.registry.versions import CONTENT_TAG, EVIDENCE_TAG, RegistryError
from ddpm.reproduce import checkout
from tests.func.registry.conftest import NAME

Make = Callable[..., int]
PLACES = [
    "../../../../escaped",
    "/tmp/escaped",
    "a" * 63,
    "A" * 64,
    "0" * 64 + "/x",
    "0" * 64 + "\n",
    "",
    ".",
    "..",
    "~/x",
]


def test_only_a_hash_names_a_place_in_the_cache(make: Make, tmp_path: Path) -> None:
    number = make("one")
    before = sorted(tmp_path.rglob("*"))
    for place in PLACES:
        registry.annotate(NAME, number, {CONTENT_TAG: place})
        with pytest.raises(RegistryError, match=CONTENT_TAG):
            registry.download(f"models:/{NAME}/{number}")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_not_what_was_registered_is_not_kept(make: Make) -> None:
    number = make("one")
    registry.annotate(NAME, number, {CONTENT_TAG: "0" * 64})
    for _ in range(2):
        with pytest.raises(RegistryError, match="weights or config differ from those registered"):
            registry.download(f"models:/{NAME}/{number}")
    assert not (CACHE / ("0" * 64)).exists()


def test_only_the_files_of_a_checkpoint_are_taken(make: Make) -> None:
    number = make("one")
    found = registry.version(NAME, number)
    beside = Path(found.source.removeprefix("file://")) / "artifacts/checkpoint"
    (beside / "evil.sh").write_text("echo owned")
    folder = registry.download(f"models:/{NAME}/{number}")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "weights.safetensors"]


def test_evidence_is_only_read_where_it_is_kept(make: Make) -> None:
    number = make("one")
    for place in ("../x.json", "gate/../../x.json", "gate/x.json", f"{'0' * 64}/x", "/etc/passwd"):
        registry.annotate(NAME, number, {"ddpm.judged": place})
        with pytest.raises(RegistryError, match=r"ddpm\.judged"):
            registry.load_evidence(NAME, number)


def test_pruning_deletes_no_files_of_others(make: Make, run_id: str, tmp_path: Path) -> None:
    """A version can be registered with any folder as its source."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    connection = tracking.client()
    make("one")
    for run in (None, run_id):
        connection.create_model_version(NAME, precious.as_uri(), run)
    inside = connection.get_run(run_id).info.artifact_uri
    connection.create_model_version(NAME, inside, run_id)
    connection.create_model_version(NAME, f"{inside}/models/../../..", run_id)
    connection.delete_registered_model_alias(NAME, "candidate")
    assert registry.prune(NAME, 0) == [1, 2, 3, 4, 5]
    assert (precious / "file").read_text() == "x"
    assert Path(inside.removeprefix("file://")).exists()


@pytest.mark.parametrize("md5", ["../../etc/passwd", "0" * 31, "0" * 32 + ".dirx", "/abs", "0" * 32 + "/.dir"])
def test_a_recorded_hash_of_data_is_a_hash(md5: str, tmp_path: Path) -> None:
    with pytest.raises(checkout.ReproduceError, match="hash of the data"):
        checkout.fetch_data(tmp_path, md5, tmp_path, "python")


def test_a_listing_of_the_cache_names_hashes_only(tmp_path: Path) -> None:
    listing = "ab" * 16 + ".dir"
    place = tmp_path / "cache/files/md5" / listing[:2] / listing[2:]
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps([{"md5": "../../../../secret", "relpath": "x"}]))
    with pytest.raises(ValueError, match="MD5"):
        checkout._from_cache(tmp_path / "cache", tmp_path / "target", listing)


def test_a_tag_that_is_damaged_is_named(make: Make) -> None:
    number = make("one")
    for text in ("{", "[]", "3", "null", '{"version": 1}', '{"runs": 3}', '{"runs": [], "x": 1}'):
        registry.annotate(NAME, number, {approval.TAG: text, EVIDENCE_TAG: text})
        with pytest.raises(RegistryError, match=r"the tag ddpm\.approval of version 1 of digits"):
            approval.question(NAME, number)
        if not text.startswith('{"'):
            with pytest.raises(RegistryError, match=r"the tag ddpm\.evidence of version 1 of digits"):
                _ = registry.version(NAME, number).evidence


def test_runs_of_others_are_no_moves_and_damaged_moves_are_named(make: Make) -> None:
    registry.promote(NAME, make("one"), why="first", expected_champion=None)
    connection = tracking.client()
    trail = connection.get_experiment_by_name(audit.experiment_name(NAME)).experiment_id
    connection.create_run(trail)
    assert [move.why for move in registry.history(NAME)] == ["first"]
    for tags in ({"sequence": "x"}, {"kind": "promote"}, {"sequence": "1", "kind": "?", "from": "", "to": "1"}):
        run = connection.create_run(trail, tags={f"{audit.PREFIX}{key}": value for key, value in tags.items()})
        with pytest.raises(tracking.TrackingError, match=f"run {run.info.run_id} in the experiment digits-audit"):
            registry.history(NAME)
        connection.delete_run(run.info.run_id)


@pytest.mark.parametrize("value", ["..", ".", "", "a/b", "-x", "a b", "a\n", "ä", "x" * 201, ".hidden"])
def test_a_name_is_one_part_of_a_path(value: str) -> None:
    assert validation.name("a-b_1.npy", "it") == "a-b_1.npy"
    with pytest.raises(ValueError, match="the file is"):
        validation.name(value, "the file")


@pytest.mark.parametrize("digest", ["../../escaped", "..", "a/b", "x' or '1'='1"])
def test_a_digest_names_one_record(project: Path, digest: str) -> None:
    """The digest comes from a model's config, which is untrusted."""
    for work in (tracking.Tracker, tracking.replay, tracking.run_of, lambda each: tracking.complete(each, {})):
        with pytest.raises(ValueError, match="the training digest is"):
            work(digest)
    assert not list(project.parent.rglob("escaped"))
