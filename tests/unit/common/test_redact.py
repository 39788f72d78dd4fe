"""Terminal, logs and records contain no secrets of addresses."""

import json

import pytest
from sqlalchemy.engine import make_url

from ddpm.common.redact import has_secret, redact_address, redact_json, redact_line, redact_text


@pytest.mark.parametrize(("text", "said"), [
    ("https://me:secret@host:5000/x", "https://host:5000/x"),
    ("postgresql://me:se@cret@host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
    ("from 'https://me:secret@a/x' to s3://key:secret@b.", "from 'https://a/x' to s3://b."),
    ("https://a/x?X-Amz-Credential=secret&part=1&X-Amz-Signature=secret", "https://a/x?X-Amz-Credential=...&part=1&X-Amz-Signature=..."),
    ("https://a/x?sv=1&sig=secret%3D#y", "https://a/x?sv=1&sig=...#y"),
    ("https://a/x?access_token=secret", "https://a/x?access_token=..."),
    ("https://a/x?pass=secret", "https://a/x?pass=..."),
    ("https://a/x?code=secret&zip=1", "https://a/x?code=...&zip=1"),
    ("https://a/x#access_token=secret", "https://a/x#access_token=..."),
    ("https://a/x?X%2DAmz%2DSignature=secret&b=2", "https://a/x?X%2DAmz%2DSignature=...&b=2"),
    ("https://a/x?sig=se'secret", "https://a/x?sig=..."),
    ("https://a/x?b=1;token=secret;c=2", "https://a/x?b=1;token=...;c=2"),
    ("https://a/x?next=https%3A%2F%2Fme%3Asecret%40b%2F&c=2", "https://a/x?next=...&c=2"),
    ("https://a/x?next=https://me:secret@b/", "https://a/x?next=..."),
    (r"https:\/\/me:secret@host\/x", r"https:\/\/host\/x"),
    ("no \"https://a/x?sig=secret\": 403", "no \"https://a/x?sig=...\": 403"),
    ("<https://me:secret@a/x> (and git+ssh://me:secret@b/r.git)", "<https://a/x> (and git+ssh://b/r.git)"),
    ("https://me:secret@[::1]:5000/x", "https://[::1]:5000/x"),
    ("mongodb://me:secret@a:1,b:2/db", "mongodb://a:1,b:2/db"),
    ("redis://:secret@host:6379/0", "redis://host:6379/0"),
])  # fmt: skip
def test_a_secret_is_not_shown(text: str, said: str) -> None:
    assert redact_text(text) == said
    assert has_secret(text)


@pytest.mark.parametrize("text", [
    "sqlite:////data/x.db", "models:/digits@champion", "https://host/a@b?page=2", "git@github.com:me/x.git", "50%",
    "write to me@example.org about https://host/x", "", "http://localhost:5000/#/models/x@y", "a: b@c, 12:30",
    "Prefect at http://127.0.0.1:4200/api does not answer (me@example.org)", "python:3.13@sha256:abcd",
    "no postgresql://localhost:5432/db, write to me@example.org", "https://host:5000/v2/x@sha256:abcd",
    "file:///home/me@work/x:1", "sqlite:////home/me@work/mlflow.db", "https://host/x?page=2&zip=3#top", "ann@desk: a",
])  # fmt: skip
def test_all_else_is_left(text: str) -> None:
    assert redact_text(text) == text
    assert not has_secret(text)


PASSWORDS = [
    "pa/ss",
    "pa'ss",
    'pa"ss',
    "pa<ss",
    "pa ss",
    "p@ss",
    "p:ss",
    "p#ss",
    "p?ss",
    "p%40ss",
    "p@s/s",
    "p\\s",
    "p&s",
]


@pytest.mark.parametrize("around", [
    "{}", "cannot connect to {} (timeout)", "'{}' is wrong", 'no "{}", no', "<{}>", "a {} b mysql://v:other@i/db",
])  # fmt: skip
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_of_a_database_is_hidden_whatever_it_holds(password: str, around: str) -> None:
    address = f"postgresql+psycopg2://me:{password}@host:5432/db"
    assert "@" in password or make_url(address).password in {password, "p@ss"}
    text = redact_text(around.format(address))
    assert password not in text
    assert "me:" not in text
    assert "other" not in text
    assert "postgresql+psycopg2://host:5432/db" in text


def test_an_address_as_a_value_has_no_end_but_its_own() -> None:
    assert redact_address("postgresql://me:1 2 3@host/db?password=a b'c") == "postgresql://host/db?password=..."
    assert redact_text(" https://me@host/a@b\n") == " https://host/a@b\n"
    assert redact_address("data/me@work x") == "data/me@work x"


def test_a_proxy_without_a_scheme_shows_no_password() -> None:
    assert redact_text("no answer from me:secret@proxy.example:8080 yet") == "no answer from proxy.example:8080 yet"


def test_values_are_redacted_before_they_are_serialised() -> None:
    value = {"a": ['no "https://h/x?sig=secret": 403', 3, None], "https://me:secret@h": True}
    assert redact_json(value) == {"a": ['no "https://h/x?sig=...": 403', 3, None], "https://h": True}
    line = json.dumps({"quoted": "https://h/x?sig=secret\\", "count": 3})
    assert json.loads(redact_line(line)) == {"quoted": "https://h/x?sig=...", "count": 3}
    for line in ('{"a":1,  "b": "é"}', "[" * 100_000, "[info] x"):
        assert redact_line(line) == line
    assert redact_line("{no JSON https://me:secret@h") == "{no JSON https://h"


@pytest.mark.parametrize("text", [
    "a." * 50_000 + "://", "://" * 30_000, "a://" * 30_000, "a:" * 50_000, "x://u:" + " " * 50_000, "?a=" * 30_000,
    "http://h/?" + "a=b;" * 20_000, "x://h?a=" * 20_000, "u:" + "a" * 50_000 + "@", "a://'" * 20_000,
])  # fmt: skip
@pytest.mark.timeout(20)
def test_no_text_takes_long(text: str) -> None:
    redact_text(text)
