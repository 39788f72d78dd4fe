"""Plots are the same bytes for the same numbers, and do without matplotlib's global state."""

import io
import subprocess
import sys

from PIL import Image

from ddpm.report import plots

SEEN, LOSS, RATE = [100, 200, 300], [1.0, 0.4, 0.3], [0.001, 0.002, 0.0]


def test_equal_numbers_give_equal_bytes():
    assert plots.training(SEEN, LOSS, RATE) == plots.training(SEEN, LOSS, RATE)
    assert plots.training(SEEN, LOSS, RATE) != plots.training(SEEN, [1.0, 0.4, 0.2], RATE)
    names, ours, real = ["cat", "dog"], [0.4, 0.6], [0.5, 0.5]
    assert plots.classes(names, ours, real) == plots.classes(names, ours, real)


def test_a_picture_carries_no_date_and_no_version():
    assert Image.open(io.BytesIO(plots.training(SEEN, LOSS, RATE))).info.keys() <= {"dpi"}


def test_odd_histories_can_be_drawn():
    for seen, loss in [([100], [0.5]), ([100, 200], [0.0, 0.0]), ([1e6, 2e6], [-1.0, 1.0]), ([1, 2], [0.5, 0.5])]:
        assert plots.training(seen, loss, [0.1] * len(seen)).startswith(b"\x89PNG")


def test_many_classes_and_long_names_can_be_drawn():
    many = plots.classes([f"class {i}" for i in range(200)], [1 / 200] * 200, [1 / 200] * 200)
    few = plots.classes(["a very long name of a class"] * 5, [0.2] * 5, [0.2] * 5)
    assert Image.open(io.BytesIO(many)).width == Image.open(io.BytesIO(few)).width


def test_pyplot_is_never_imported():
    code = "import sys; from ddpm.report import plots; plots.training([1, 2], [1, 2], [1, 2])"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'matplotlib.pyplot' not in sys.modules"], check=True)
