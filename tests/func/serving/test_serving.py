"""Limits of one request: network evaluations, time, and one request at a time."""

import base64
import io
import threading
from pathlib import Path
from typing import Any, get_args

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.sampling import options as sampling
from ddpm.sampling.options import Sampling
from ddpm.serving import pack, requests


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> checkpoint.Model:
    return checkpoint.load(tiny_checkpoint)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("sampler", sorted(set(get_args(sampling.Sampler)) - {"ode"}))
def test_the_work_of_a_request_is_known_beforehand(model: checkpoint.Model, sampler: str, guidance: float) -> None:
    options: dict[str, Any] = {"corrections": 2} if sampler.startswith("predictor") else {}
    chosen = Sampling(sampler=sampler, steps=5, guidance=guidance, **options)
    with generate.evaluations(model) as seen:
        generate.generate(model, 3, chosen)
    promised = 3 * requests.evaluations(chosen)
    assert sum(seen) <= promised
    assert sum(seen) >= promised * 0.85  # the last step of some needs one less


def test_limits_are_those_of_the_servers_environment() -> None:
    assert requests.Limits.of({}) == requests.Limits()
    limits = requests.Limits.of({"DDPM_SERVE_IMAGES": "7", "DDPM_SERVE_SECONDS": "", "MLFLOW_TRACKING_URI": "x"})
    assert limits == requests.Limits(images=7)
    mlflow = {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "60"}
    assert requests.Limits.of(mlflow).seconds == 54
    assert requests.Limits.of({**mlflow, "DDPM_SERVE_SECONDS": "5"}).seconds == 5
    for name, value in (("IMAGES", "0"), ("IMAGES", "many"), ("EVALUATIONS", "1e6"), ("SECONDS", "-1")):
        with pytest.raises(ValueError, match=f"DDPM_SERVE_{name} = '{value}': must be an integer of [01] or more"):
            requests.Limits.of({f"DDPM_SERVE_{name}": value})


@pytest.fixture
def served(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model as a server loads it, whose requests have a second each."""
    monkeypatch.setenv("DDPM_SERVE_SECONDS", "1")
    pack.pack(tiny_checkpoint, tmp_path / "model", {})
    return mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_a_request_that_takes_too_long_is_ended_and_the_next_one_served(served: Any) -> None:
    with pytest.raises(MlflowException, match="not finished within 1s; request fewer images or steps") as raised:
        served.predict({}, params={"count": 10_000, "steps": 50})
    assert raised.value.get_http_status_code() == 400
    own = served.unwrap_python_model()
    assert not own.model.denoiser.net._forward_pre_hooks
    own.limits = requests.Limits(seconds=600)
    assert served.predict({}, params={"count": 1, "steps": 1}).shape == (1, 8, 8, 1)


def test_who_waits_too_long_for_others_is_told_to_come_again(served: Any) -> None:
    own = served.unwrap_python_model()
    with own.lock, pytest.raises(MlflowException, match="busy with other requests for 1s; try again later") as raised:
        served.predict({}, params={"count": 1, "steps": 1})
    assert raised.value.get_http_status_code() == 429


def test_requests_at_one_time_get_the_images_that_they_get_alone(served: Any) -> None:
    served.unwrap_python_model().limits = requests.Limits()
    alone = [served.predict({}, params={"count": 4, "steps": 3, "seed": seed}) for seed in range(4)]
    found: dict[int, np.ndarray] = {}

    def draw(seed: int) -> None:
        found[seed] = served.predict({}, params={"count": 4, "steps": 3, "seed": seed})

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[seed], alone[seed]) for seed in range(4))


def test_pictures_are_the_images_without_loss() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)

    def read(text: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))

    assert np.array_equal([read(each) for each in requests.pngs(images)], images)
    (sheet,) = requests.grid(images)
    assert read(sheet).shape == (10, 8, 3)
    assert np.array_equal(read(sheet)[5:, :4], images[2])
