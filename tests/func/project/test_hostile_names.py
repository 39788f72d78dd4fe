"""Hostile names in keys, pictures and notifications."""

import io
import json

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from ddpm import notifications
from ddpm.data.contact import contact_sheet
from ddpm.imaging import sheets
from ddpm.report import plots
from flows.tasks import artifacts
from tests.support import hostile
from tests.support.hostile import TEXT


def test_keys_of_models_that_differ_stay_different() -> None:
    assert artifacts.slug("ddpm-mnist") == "ddpm-mnist"
    names = ["a.b", "a_b", "a-b", "A-b", "猫", "犬", "..", TEXT]
    keys = [artifacts.slug(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(key.strip("abcdefghijklmnopqrstuvwxyz0123456789-") == "" for key in keys)


@pytest.mark.parametrize("name", [*hostile.PARTS.values(), "\udcff", "x" * 5000, "$a$", "$\\frac$", "\n", "猫"])
def test_pictures_take_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    original = matplotlib.figure.Figure.savefig

    def saves(self: matplotlib.figure.Figure, *arguments: object, **options: object) -> None:
        drawn.extend(text.get_text() for text in self.findobj(matplotlib.text.Text))
        assert not any(text.get_parse_math() for text in self.findobj(matplotlib.text.Text))
        original(self, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", saves)
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    plot = plots.classes([name, "b"], [0.5, 0.5], [0.5, 0.5])
    sheet = sheets.sheet([sheets.SheetRow(list(pixels), name)], headings={0: name})
    contact = contact_sheet(pixels, np.array([0, 0]), [name], ["a", "b"])
    assert not hostile.STEERS.search("".join(drawn))
    for picture in (Image.open(io.BytesIO(plot)), Image.open(io.BytesIO(sheet)), contact):
        assert picture.width < 4000


def test_a_notification_stays_json() -> None:
    quoted = 'no "https://h/x?sig=SECRET": 403'
    text = notifications.message("failed", TEXT, TEXT, facts={TEXT: [TEXT]}, quoted=quoted, version=3).body.decode()
    assert "SECRET" not in text
    assert json.loads(text)["data"]["version"] == 3
    assert "<script>" in json.loads(text)["data"]["text"], "only secrets are taken out; the receiver has a parser"
