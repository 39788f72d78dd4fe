"""Names of metrics: what MLflow takes, and never one for two."""

import itertools

import pytest
from mlflow.utils.validation import _validate_metric_name

from ddpm.tracking.names import LONGEST, metric_name


@pytest.mark.parametrize("name", [
    "fid", "class_histogram.0", "class_histogram.a b", "memorisation.p-value", "class_histogram.a/b", "a_b", "_", "x.1",
    "class_histogram.猫", "class_histogram.кошка", "class_histogram.قط", "class_histogram.é",
])  # fmt: skip
def test_names_of_letters_are_kept(name: str) -> None:
    assert metric_name(name) == name


@pytest.mark.parametrize("letters", ["_u3:a/", ".a/_u2e", "猫犬:_u"])
def test_names_that_differ_stay_different(letters: str) -> None:
    names = ["".join(each) for length in range(1, 6) for each in itertools.product(letters, repeat=length)]
    made = [metric_name(name) for name in names]
    assert len(set(made)) == len(names)
    for each in made:
        _validate_metric_name(each)


@pytest.mark.parametrize("names", [
    ("h.a:b", "h.a_b", "h.a?b", "h.a*b"), ("h.का", "h.कि", "h.क"), ("h.e\u0301", "h.e\u0300", "h.é"),
    ("h.😀", "h.😁"), ("h.$", "h.€"), ("h.a\nb", "h.a b"), ("h.\udc80", "h.\udc81"),
    tuple(f"h.{'x' * LONGEST}{tail}" for tail in ("", "a", "b", "猫")),
])  # fmt: skip
def test_scripts_signs_and_long_names(names: tuple[str, ...]) -> None:
    made = [metric_name(name) for name in names]
    assert len(set(made)) == len(names)
    for each in made:
        _validate_metric_name(each)
        assert len(each) <= LONGEST
