"""Every sampler with a real network: batches, strips, counted evaluations, the variance that a model has learnt."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ddpm.diffusion.samplers import table as samplers
from ddpm.model import checkpoint
from ddpm.restore import tasks
from ddpm.sampling import generate, interpolate
from ddpm.sampling.generate import Sampling
from tests.support import tiny

CONSISTENCY: dict[str, Any] = {**tiny.CONFIG, "objective": "consistency"}
LEARNED: dict[str, Any] = {**tiny.CONFIG, "diffusion": {**tiny.CONFIG["diffusion"], "variance": "learned"}}
EVALUATIONS = {"heun": 2 * 6 - 1, "predictor-corrector": 2 * 6, "predictor-corrector-ve": 2 * 6}  # else one per level


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Model:
    return checkpoint.load(tiny.random_checkpoint(tmp_path_factory.mktemp("model") / "model"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Model:
    return checkpoint.load(tiny.random_checkpoint(tmp_path_factory.mktemp("model") / "model", LEARNED))


@pytest.mark.parametrize("sampler", list(samplers.SAMPLERS))
def test_image_i_is_the_same_in_any_batch_at_the_cost_that_is_counted(model: checkpoint.Model, sampler: str) -> None:
    if sampler == "consistency":
        model = replace(model, config=tiny.typed(CONSISTENCY))
    sampling = Sampling.suited(sampler=sampler, steps=6, spacing="karras", guidance=2.0, tolerance=1e-2)
    with generate.evaluations(model) as seen:
        together = generate.generate(model, 4, sampling, seed=11)
    assert len({image.tobytes() for image in together}) == 4
    apart = generate.generate(model, 2, sampling, seed=13, labels=[0, 1], batch=1)
    assert np.abs(together[2:].astype(int) - apart).max() <= 1  # a rounding at most
    if sampler == "ode":
        assert sum(seen) > 2 * 4 * 6
        np.testing.assert_array_equal(together[2:], apart)
    else:
        assert sum(seen) == 2 * 4 * EVALUATIONS.get(sampler, 6)  # guidance asks twice
    with generate.evaluations(model) as none:
        pass
    assert none == []


def test_stirred_in_noise_changes_the_images(model: checkpoint.Model) -> None:
    still, stirred = (Sampling(sampler="heun", steps=6, churn=churn) for churn in (0.0, 3.0))
    assert not np.array_equal(generate.generate(model, 2, still), generate.generate(model, 2, stirred))


def test_the_strip_of_a_sampler_that_is_given_images_one_by_one(model: checkpoint.Model) -> None:
    sampling = Sampling(sampler="ode", steps=6, tolerance=1e-2)
    strip = generate.strip(model, 3, 4, sampling, seed=5)
    assert strip.shape == (3, 4, 8, 8, 1)
    finished = generate.generate(model, 3, Sampling(sampler="ode", steps=6, tolerance=1e-2, spacing="uniform"), seed=5)
    np.testing.assert_array_equal(strip[:, -1], finished)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_learned_variance_shapes_the_images(learned: checkpoint.Model, guidance: float) -> None:
    drawn = {
        variance: generate.generate(
            learned, 3, Sampling(sampler="ddpm", steps=8, variance=variance, guidance=guidance), batch=2
        )
        for variance in ("learned", "small", "large")
    }
    assert not np.array_equal(drawn["learned"], drawn["small"])
    assert not np.array_equal(drawn["learned"], drawn["large"])
    alone = generate.generate(
        learned, 1, Sampling(sampler="ddpm", steps=8, variance="learned", guidance=guidance), seed=2, labels=[0]
    )
    assert np.abs(drawn["learned"][2].astype(int) - alone[0]).max() <= 1


def test_a_variance_that_was_not_learnt_is_refused_before_weights_are_loaded() -> None:
    with pytest.raises(ValueError, match="variance = 'learned': this model was trained with a fixed variance"):
        generate.check(tiny.typed(), Sampling(sampler="ddpm", steps=8, variance="learned"), 1)
    generate.check(tiny.typed(LEARNED), Sampling(sampler="ddpm", steps=8, variance="learned"), 1)


def test_a_consistency_model_and_its_sampler_belong_together() -> None:
    own = Sampling(sampler="consistency", steps=2, spacing="trailing")
    generate.check(tiny.typed(CONSISTENCY), own, 1)
    with pytest.raises(ValueError, match=r"sampler = 'consistency' needs a model trained with train\.objective"):
        generate.check(tiny.typed(), own, 1)
    with pytest.raises(ValueError, match=r"'ddim' needs a denoiser, .* a consistency model: use sampler = 'consist"):
        generate.check(tiny.typed(CONSISTENCY), Sampling(sampler="ddim", steps=2), 1)
    with pytest.raises(ValueError, match="guidance by a weaker model needs a denoiser, and this is a consistency"):
        generate.check(tiny.typed(), Sampling(guidance=2.0), 1, guide=tiny.typed(CONSISTENCY))
    with pytest.raises(ValueError, match="interpolation needs a denoiser"):
        interpolate.check(tiny.typed(CONSISTENCY), 2, 5, 0)
    with pytest.raises(ValueError, match=r"denoise needs a denoiser, and this is a consistency model .* its teacher"):
        tasks.plan(tiny.typed(CONSISTENCY), "denoise")


@pytest.mark.parametrize(("wrong", "words"), [
    ({"churn": 1.0}, r"churn = 1.0 applies to sampler euler, heun only, and the sampler is dpm-solver\+\+; leave it"),
    ({"churn": -1.0, "sampler": "heun"}, "churn = -1.0: must be from 0 to 1000000"),
    ({"churn_min": 2.0, "churn_max": 1.0, "sampler": "heun"}, "churn_max = 1.0: must be churn_min = 2.0 or more"),
    ({"snr": 2.0, "sampler": "predictor-corrector"}, "snr = 2.0: must be from 0 to 1"),
    ({"corrections": 2, "sampler": "ddpm"}, "corrections = 2 applies to sampler predictor-corrector, predictor-"),
    ({"tolerance": 0.0, "sampler": "ode"}, "tolerance = 0.0: must be from 1e-12 to 0.1"),
    ({"tolerance": 1e-3, "sampler": "heun"}, "tolerance = 0.001 applies to sampler ode only"),
    ({"variance": "learned", "sampler": "predictor-corrector"}, "variance = 'learned' applies to sampler ddpm only"),
])  # fmt: skip
def test_options_out_of_range_or_for_another_sampler_are_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**wrong)


def test_a_single_level_gives_the_estimate_at_once(model: checkpoint.Model) -> None:
    once = [generate.generate(model, 2, Sampling(sampler=name, steps=1)) for name in ("ddim", "heun", "ode")]
    np.testing.assert_array_equal(once[0], once[1])
    assert np.abs(once[0].astype(int) - once[2]).max() <= 1
