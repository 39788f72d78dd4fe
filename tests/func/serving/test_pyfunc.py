"""The registered model as others get it: in Python, in a clean environment without this project, and over HTTP."""

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.serving import pack
from tests.func.serving.conftest import CONDITIONS, MEASURED
from tests.support import tiny


def test_a_row_is_an_image_of_its_label(model: Any, expected: Any) -> None:
    images = model.predict(pd.DataFrame({"label": [1, 0, 1]}))
    assert images.dtype == np.uint8
    assert np.array_equal(images, expected(3, labels=[1, 0, 1]))


def test_a_broken_model_answers_with_a_server_s_error(tmp_path: Path, tiny_checkpoint: Path) -> None:
    loaded = checkpoint.load(tiny_checkpoint)
    weights = {name: tensor.clone() for name, tensor in loaded.denoiser.state_dict().items()}
    weights["net.conv_out.bias"].fill_(np.nan)
    checkpoint.save(tmp_path / "broken", loaded.config, weights, weights)
    pack.pack(tmp_path / "broken", tmp_path / "packed", CONDITIONS)
    broken = mlflow.pyfunc.load_model(str(tmp_path / "packed"))
    with pytest.raises(MlflowException, match=r"sampled with ddim: evaluation 1 .* not finite") as raised:
        broken.predict(pd.DataFrame({"label": [1]}))
    assert raised.value.get_http_status_code() == 500


@pytest.mark.parametrize(
    ("rows", "params", "options"),
    [
        ({"label": [-1, -1, -1]}, {}, {"count": 3}),
        ({"label": [0, 1]}, {"count": 5}, {"count": 5, "labels": [0, 1, 0, 1, 0]}),
        ({"label": [-1]}, {"count": 4, "label": 1}, {"count": 4, "labels": [1] * 4}),
        ({"label": [1, -1]}, {}, {"count": 2, "labels": [1, 1]}),
        ({"class": ["light", "", "0"]}, {}, {"count": 3, "labels": [1, 1, 0]}),
        ({"class": ["light", "dark"], "label": [1, -1]}, {}, {"count": 2, "labels": [1, 0]}),
        ({"label": [0]}, {"count": 2, "class": "light"}, {"count": 2, "labels": [1, 1]}),
        ({}, {"count": 2, "class": "1", "label": 1}, {"count": 2, "labels": [1, 1]}),
        ({}, {"count": 2, "seed": 7}, {"count": 2, "seed": 7}),
        ({}, {"count": 2, "guidance": 2.0}, {"count": 2, "guidance": 2.0}),
        ({}, {}, {"count": 1}),
    ],
)
def test_parameters_mean_what_they_say(model: Any, expected: Any, rows: dict, params: dict, options: dict) -> None:
    assert np.array_equal(model.predict(rows, params=params), expected(**options))


def test_steps_and_sampler_are_chosen_per_request(model: Any, tiny_checkpoint: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    pack.pack(tiny_checkpoint, plain, {})
    images = mlflow.pyfunc.load_model(str(plain)).predict({}, params={"count": 2, "steps": 3, "sampler": "ddpm"})
    asked = generate.Sampling(steps=3, sampler="ddpm")
    assert np.array_equal(images, generate.generate(checkpoint.load(tiny_checkpoint), 2, asked))


def test_another_sampler_than_the_measured_one_leaves_its_options_behind(model: Any, tiny_checkpoint: Path) -> None:
    images = model.predict({}, params={"count": 2, "sampler": "ddpm"})
    asked = generate.Sampling(steps=4, spacing="uniform", sampler="ddpm")
    assert np.array_equal(images, generate.generate(checkpoint.load(tiny_checkpoint), 2, asked))


@pytest.mark.parametrize(
    ("rows", "params", "said"),
    [
        ({"label": [9]}, {}, r"label 9 does not exist; this model has 0 \(dark\), 1 \(light\)"),
        ({"label": [-2]}, {}, "label -2 does not exist"),
        ({}, {"label": 5}, "label 5 does not exist"),
        ({}, {"class": "lihgt"}, "label lihgt does not exist; this model has dark, light; nearest: light"),
        ({"class": ["dark", "bright"]}, {}, "label bright does not exist"),
        ({}, {"class": "dark", "label": 1}, "class dark and label 1 are different classes"),
        ({}, {"count": -1}, "count = -1"),
        ({}, {"count": 10_001}, "at most 10,000"),
        ({}, {"steps": 51}, "steps = 51: this model has T = 50"),
        ({}, {"sampler": "eular"}, "sampler = 'eular' is unknown; possible"),
        ({}, {"guidance": -1.0}, "guidance"),
        ({}, {"guidance": float("inf")}, "guidance = inf: must be from 0 to 100"),
        ({}, {"format": "gif"}, "format = 'gif' is unknown; possible: array, png, grid"),
        ({}, {"seed": -1}, "seed"),
    ],
)
def test_an_impossible_request_is_refused_in_words(model: Any, rows: dict, params: dict, said: str) -> None:
    with pytest.raises(MlflowException, match=said) as raised:
        model.predict(rows, params=params)
    assert raised.value.get_http_status_code() == 400


def test_a_number_means_the_class_of_that_name(tmp_path: Path) -> None:
    """The folders 1 and 2: label 1 is the first of them, in the request as on the command line; label 0 is neither."""
    named = {**tiny.CONFIG, "image": {**tiny.CONFIG["image"], "classes": ["1", "2"]}}
    folder = tiny.random_checkpoint(tmp_path / "checkpoint", named)
    pack.pack(folder, tmp_path / "model", CONDITIONS)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert served.metadata.metadata["classes"] == ["1", "2"]
    own = generate.generate(checkpoint.load(folder), 2, generate.Sampling(**MEASURED), labels=[0, 1])
    assert np.array_equal(served.predict({"label": [1, 2]}), own)
    assert np.array_equal(served.predict({"class": ["1", "2"]}), own)
    assert np.array_equal(served.predict({}, params={"count": 2, "label": 2})[1], own[1])
    with pytest.raises(MlflowException, match="label 0 does not exist; this model has 1, 2"):
        served.predict({}, params={"label": 0})


def test_an_unlabelled_model_draws_and_refuses_labels(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "checkpoint", tiny.unlabelled())
    pack.pack(folder, tmp_path / "model", CONDITIONS)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert loaded.predict({"label": [-1, -1]}).shape == (2, 8, 8, 1)
    with pytest.raises(MlflowException, match="without labels"):
        loaded.predict({"label": [0]})


@pytest.fixture(scope="module")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of super-resolution: its checkpoint, beside it the packed one."""
    folder = tmp_path_factory.mktemp("enlarging")
    tiny.random_checkpoint(folder / "checkpoint", tiny.enlarging())
    pack.pack(folder / "checkpoint", folder / "model", CONDITIONS)
    return folder


SMALL = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), dtype=np.uint8)


def test_a_model_of_super_resolution_enlarges_the_image_of_each_row(enlarging: Path) -> None:
    loaded, own = mlflow.pyfunc.load_model(str(enlarging / "model")), checkpoint.load(enlarging / "checkpoint")

    def expected(low_res: np.ndarray, labels: list[int]) -> np.ndarray:
        return generate.generate(own, len(low_res), generate.Sampling(**MEASURED), low_res=low_res, labels=labels)

    rows = pd.DataFrame({"image": list(SMALL), "label": [1, -1]})
    assert np.array_equal(loaded.predict(rows), expected(SMALL, [1, -1]))
    assert np.array_equal(loaded.predict(pd.DataFrame({"image": SMALL.tolist()})), expected(SMALL, [-1, -1]))
    four = loaded.predict(rows, params={"count": 4, "label": 0})
    assert np.array_equal(four, expected(np.concatenate([SMALL, SMALL]), [0] * 4))
    unknown = expected(SMALL, [-1, -1])
    assert (unknown != expected(SMALL, [0, 0])).any()
    assert (unknown != expected(SMALL, [1, 1])).any()


@pytest.mark.parametrize(("images", "said"), [
    ([SMALL[0], SMALL[0, :2]], "must be of one size"), (list(SMALL[:, :2]), r"this model needs \(2, 4, 4, 1\)"),
    ([SMALL[0], SMALL[1].astype(int) - 300], "integers from 0 to 255"), ([0.5, 0.5], "Expected data to be list"),
])  # fmt: skip
def test_an_image_that_cannot_be_enlarged_is_refused_in_words(enlarging: Path, images: list[Any], said: str) -> None:
    loaded = mlflow.pyfunc.load_model(str(enlarging / "model"))
    with pytest.raises(MlflowException, match=said):
        loaded.predict(pd.DataFrame({"image": images}))


def test_the_signature_says_all_of_it(model: Any) -> None:
    signature = model.metadata.signature
    assert [(each.name, each.required) for each in signature.inputs] == [("label", False), ("class", False)]
    assert signature.outputs.inputs[0].shape == (-1, 8, 8, 1)
    assert {each.name: each.default for each in signature.params} == {
        "count": 0, "seed": 0, "steps": 4, "sampler": "ddim", "label": -1, "class": "", "guidance": 1.0,
        "format": "array",
    }  # fmt: skip


def test_the_model_carries_what_it_needs_and_no_more(packed: Path) -> None:
    code = {path.relative_to(packed / "code/ddpm").as_posix() for path in (packed / "code/ddpm").rglob("*.py")}
    assert {
        "__init__.py",
        "model/checkpoint.py",
        "sampling/generate.py",
        "nets/unet.py",
        "diffusion/samplers/table.py",
    } <= code
    assert not [name for name in code if name.startswith(("stages", "tracking", "registry", "cli", "data", "params"))]
    names = {line.split("==")[0] for line in (packed / "requirements.txt").read_text().split()}
    assert names == {"mlflow", "numpy", "pandas", "pillow", "safetensors", "scipy", "torch"}
    assert "+" not in (packed / "requirements.txt").read_text(), "a local build cannot be installed elsewhere"
    files = {path.name for path in packed.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth", ".pickle"))]
    assert "input_example.json" in files
