"""A registered version is drawn by the settings it was evaluated with, wherever it is drawn; options override them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.main import get_command
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.common import files
from ddpm.config import presets
from ddpm.model import checkpoint
from ddpm.registry.versions import VERIFIED_TAG
from ddpm.sampling import generate, interpolate
from ddpm.sampling.options import OPTIONS, Sampling
from tests.support import tiny
from tests.support.records import DIGEST

OWN: dict[str, Any] = {"sampler": "ddim", "steps": 4, "spacing": "uniform", "eta": 0.5, "guidance": 2.0,
                       "guidance_interval": [0.1, 50.0], "clamp": True}  # fmt: skip
DRAWN: dict[str, Any] = {**OWN, "guidance_interval": (0.1, 50.0)}
Register = Callable[..., int]


@pytest.fixture
def register(project: Path) -> Register:
    """Registers a model of random weights with its evaluation's conditions, as a version that counts as verified."""
    run_id = tracking.complete(DIGEST, {"fid": 30.0})

    def register(conditions: dict[str, Any] | None, config: dict[str, Any] = tiny.CONFIG) -> int:
        folder = tiny.random_checkpoint(project / f"model{len(list(project.glob('model*')))}", copy.deepcopy(config))
        evidence = None if conditions is None else {"fid": 30.0, "conditions": {"count": 9, **conditions}}
        number = registry.register(folder, "digits", run_id, evidence)
        registry.annotate("digits", number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1]})})
        return number

    return register


def test_every_sampler_option_is_one_of_the_command_with_its_description_and_range() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    offered = {each.name: each for each in commands["sample"].params}
    for name, option in OPTIONS.items():
        assert option.described.lower() in offered[name].help.lower()
    assert (
        "ddim: stochasticity; 0: deterministic, 1: as much noise as ddpm (0 to 1).  [default: 0.0]"
        in offered["eta"].help
    )
    restored = {each.name: each.help for each in commands["restore"].params}
    assert all(OPTIONS[name].described[1:] in restored[name] for name in ("sampler", "steps"))


def ddpm(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def sample(*options: str) -> tuple[np.ndarray, str]:
    said = ddpm("sample", "--model", "models:/digits/1", "--count", "4", "--out", "x.npy", "--overwrite", *options)
    return files.read_npy(Path("x.npy")), said


def expected(**settings: Any) -> np.ndarray:
    return generate.generate(checkpoint.load(Path("model0")), 4, Sampling(**settings))


def test_the_command_and_the_loaded_model_draw_as_it_was_evaluated(register: Register) -> None:
    import mlflow

    register(OWN)
    drawn, said = sample()
    assert np.array_equal(drawn, expected(**DRAWN))
    assert "note:" not in said
    mlflow.set_tracking_uri(tracking.store.tracking_uri())
    assert np.array_equal(mlflow.pyfunc.load_model("models:/digits/1").predict({}, params={"count": 4}), drawn)


@pytest.mark.parametrize(
    ("options", "changed", "left"),
    [
        (["--steps", "6"], {"steps": 6}, ()),
        (["--eta", "0"], {"eta": 0.0}, ()),
        (["--no-clamp"], {"clamp": False}, ()),
        (["--guidance", "1"], {"guidance": 1.0}, ("guidance_interval",)),
        (["--guidance-interval", "0", "1e9"], {"guidance_interval": (0.0, 1e9)}, ()),
        (["--sampler", "heun", "--churn", "3"], {"sampler": "heun", "churn": 3.0}, ("eta",)),
    ],
)
def test_an_option_overrides_one_setting(
    register: Register, options: list[str], changed: dict[str, Any], left: tuple[str, ...]
) -> None:
    register(OWN)
    settings = {name: value for name, value in {**DRAWN, **changed}.items() if name not in left}
    assert np.array_equal(sample(*options)[0], expected(**settings))


def test_an_option_that_does_not_suit_the_own_sampler_is_refused(register: Register) -> None:
    register(OWN)
    done = CliRunner().invoke(app, ["sample", "--model", "models:/digits/1", "--churn", "3"])
    assert (done.exit_code, "churn = 3.0 applies to sampler euler, heun only" in done.stderr) == (1, True)


def test_a_version_without_settings_says_how_it_is_drawn(register: Register) -> None:
    register(None)
    drawn, said = sample()
    assert "note: models:/digits/1 has no sampling settings (it is an older version): dpm-solver++, 20 steps" in said
    assert np.array_equal(drawn, expected(steps=20))


def test_a_version_of_before_is_drawn_as_its_evaluation_says(register: Register) -> None:
    register(OWN)
    tracking.client().delete_model_version_tag("digits", "1", "ddpm.sampling")
    assert np.array_equal(sample()[0], expected(**DRAWN))


def test_one_that_a_weaker_model_guided_needs_it_again(register: Register) -> None:
    weaker = tiny.random_checkpoint(Path("weaker"), copy.deepcopy(tiny.CONFIG))
    weights = files.read_tensors(weaker / "weights.safetensors")
    files.write_tensors(weaker / "weights.safetensors", {name: 0.5 * each for name, each in weights.items()})
    register({**OWN, "guide_sha256": files.sha256_file(weaker / "weights.safetensors")})
    drawn, said = sample()
    assert "evaluated with a weaker model as its guide, but --guide is not given: not guided" in said
    assert np.array_equal(drawn, expected(**{**DRAWN, "guidance": 1.0, "guidance_interval": None}))
    drawn, said = sample("--guide", "weaker")
    assert "note:" not in said
    guide = checkpoint.load(weaker)
    own = generate.generate(checkpoint.load(Path("model0")), 4, Sampling(**DRAWN), guide=guide)
    assert np.array_equal(drawn, own)


def test_a_learned_variance_is_left_to_the_sampler_that_takes_it() -> None:
    own = {"sampler": "ddpm", "steps": 4, "variance": "learned"}
    assert Sampling.overriding(own, {}).variance == "learned"
    assert Sampling.overriding(own, {"sampler": "predictor-corrector"}).variance == "small"
    assert Sampling.suited(**{**own, "sampler": "ddim"}) == Sampling(sampler="ddim", steps=4)


def test_the_same_weights_with_other_settings_are_another_version(register: Register) -> None:
    assert [register(OWN), register(OWN), register({**OWN, "steps": 9}), register(OWN)] == [1, 1, 2, 1]
    registry.promote("digits", 1, why="first", expected_champion=None)
    assert [registry.version("digits", number).sampling["steps"] for number in (1, 2)] == [4, 9]
    registry.force_promote("digits", 2, why="more steps")
    registry.rollback("digits", why="upside down")
    assert registry.withdrawn("digits", register({**OWN, "steps": 30})), "a person decided against these weights"


def test_canary_draws_each_by_its_own_settings(register: Register) -> None:
    yaml = YAML(typ="safe")
    values = presets.values(Path(__file__).parents[3] / "presets/quick.yaml")
    values["promote"]["name"] = "digits"
    with Path("params.yaml").open("w") as file:
        yaml.dump(values, file)
    register(OWN)
    register({**OWN, "steps": 9})
    registry.promote("digits", 1, why="first", expected_champion=None)
    ddpm("canary", "2", "--count", "4", "--out", "page.html")
    page = Path("page.html").read_text()
    assert "4 (champion), 9 (candidate)" in page
    assert "ddim" in page
    apart = expected(**DRAWN).astype(float) - expected(**{**DRAWN, "steps": 9})
    assert f"{np.sqrt(np.square(apart).mean(axis=(1, 2, 3))).max():.3g}" in page


def test_between_two_seeds_the_guidance_is_its_own_and_a_picture_comes_back(register: Register) -> None:
    register(OWN)
    model = checkpoint.load(Path("model0"))
    picture = generate.generate(model, 1, Sampling(steps=10), seed=3, labels=[1])[0]
    Image.fromarray(picture[:, :, 0]).save("a.png")

    def way(start: str, *options: str) -> np.ndarray:
        ddpm("sample", "--model", "models:/digits/1", "--from", start, "--to", "7", "--count", "3", "--steps", "8",
             "--label", "light", "--out", "way.npy", "--overwrite", *options)  # fmt: skip
        return files.read_npy(Path("way.npy"))

    own = Sampling(guidance=2.0, guidance_interval=(0.1, 50.0))
    plain = interpolate.between(model, 5, 7, 3, steps=8, label=1)
    guided = interpolate.between(model, 5, 7, 3, steps=8, label=1, sampling=own)
    assert not np.array_equal(plain, guided)
    assert np.array_equal(way("5"), guided)
    assert np.array_equal(way("5", "--guidance", "1"), plain)
    assert np.array_equal(way("a.png"), interpolate.between(model, picture, 7, 3, steps=8, label=1))


def test_a_seed_is_the_guided_image_that_sampling_draws_from_it(tiny_checkpoint: Path) -> None:
    model = checkpoint.load(tiny_checkpoint)
    guided = Sampling(sampler="heun", steps=20, guidance=2.0, clamp=False)
    images = interpolate.between(model, 5, 9, 3, steps=20, label=1, sampling=guided)
    for place, seed in ((0, 5), (2, 9)):
        drawn = generate.generate(model, 1, guided, seed=seed, labels=[1])[0]
        assert np.abs(images[place].astype(int) - drawn).max() <= 1


def test_a_model_that_was_trained_to_enlarge_restores_by_its_own_settings(register: Register) -> None:
    Image.fromarray(np.full((4, 4), 90, np.uint8)).save("small.png")
    register({**OWN, "eta": 0.0}, tiny.enlarging())

    def restored(out: str, *options: str) -> dict[str, Any]:
        ddpm("restore", "super-resolution", "--model", "models:/digits/1", "--input", "small.png", "--label", "light",
             "--out", out, *options)  # fmt: skip
        found: dict[str, Any] = files.read_json(Path(out) / "scores.json")["conditions"]
        return found

    found = restored("own")
    assert (found["sampler"], found["steps"], found["spacing"], found["guidance"]) == ("ddim", 4, "uniform", 2.0)
    found = restored("chosen", "--sampler", "ddpm", "--steps", "3")
    assert (found["sampler"], found["steps"], found["spacing"], found["guidance"]) == ("ddpm", 3, "uniform", 2.0)
