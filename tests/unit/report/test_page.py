"""The page stands alone, says what it must, and repeats itself to the byte."""

import base64
import re
from html.parser import HTMLParser

import pytest

from ddpm.report import page
from tests.support.made_reports import METRICS, PNG, composed


class Reader(HTMLParser):
    """Parse a page as a browser does: tags, open tags, and text."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def html(metrics=METRICS, **known):
    return page.render(composed(metrics, **known))


@pytest.fixture
def read():
    reader = Reader()
    reader.feed(html())
    return reader


def test_nothing_is_loaded_from_elsewhere(read):
    addresses = [value for _, found in read.tags for key, value in found.items() if key in ("src", "href", "srcset")]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"https?://|@import|url\(", html())
    assert "script" not in [tag for tag, _ in read.tags]


def test_every_picture_is_inside_and_has_words(read):
    found = [attributes for tag, attributes in read.tags if tag == "img"]
    assert [base64.b64decode(each["src"].split(",")[1]) for each in found] == [PNG] * 3
    assert [each["alt"] for each in found] == ['Grid "of" <images>', "d", "f"]


def test_the_html_is_whole_and_made_for_phones_and_the_dark(read):
    assert read.open == []
    assert ("html", {"lang": "en"}) in read.tags
    assert any(found.get("name") == "viewport" for _, found in read.tags)
    assert "prefers-color-scheme: dark" in html()
    assert [tag for tag, _ in read.tags if tag == "h1"] == ["h1"]


def test_scores_stand_beside_those_of_real_images(read):
    for words in (
        "↓ 4.00 times that of real images (0.803)", "9.10", "± 0.20 between splits", "97.1%", "99.0%", "8.10%", "0.980",
        "Conditions", "1000",
    ):  # fmt: skip
        assert words in read.text


def test_equal_scores_give_equal_bytes():
    assert html() == html()


def test_what_does_not_apply_is_left_out():
    some = {key: value for key, value in METRICS.items() if not key.startswith(("class_", "extractor_", "memor"))}
    del some["inception_score_std"]
    text = html(some)
    assert "Class accuracy" not in text
    assert "Smallest class share" not in text
    assert "± " not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memorisation_ratio": 0.3}, "look for copies"),
        ({"conditions": METRICS["conditions"] | {"full_rank": False, "count": 90}}, "Not more images (90 generated"),
    ],
)
def test_warnings_come_first(change, words):
    assert words in html(METRICS | change)
    assert words not in html()


def test_names_from_outside_are_escaped():
    assert "<script>" not in html(config={"<script>": "<script>alert(1)</script>"})


def test_a_perfect_floor_does_not_divide_by_zero():
    assert "↓ 0 for real images" in html(METRICS | {"fid_equal_counts": 0.0, "fid_halves": 0.0})


def test_the_fid_of_an_older_record_is_a_multiple_of_that_of_heldout_images():
    older = {key: value for key, value in METRICS.items() if key != "fid_equal_counts"}
    assert "↓ 2.29 times that of real images (1.40)" in html(older)
    assert "↓ not measured for real images" in html({key: older[key] for key in older if key != "fid_floor"})


def test_nested_sections_become_flat():
    assert page.flat({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": "1", "a.c": "1, 2", "d": "None"}
