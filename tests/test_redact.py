"""What people, logs and records are told is free of the secrets of addresses."""

import pytest

from ddpm.redact import has_secret, shown


@pytest.mark.parametrize(("text", "said"), [
    ("https://me:secret@host:5000/x", "https://host:5000/x"),
    ("postgresql://me:se@cret@host/db?sslmode=require", "postgresql://host/db?sslmode=require"),
    ("from 'https://me:secret@a/x' to s3://key:secret@b.", "from 'https://a/x' to s3://b."),
    ("https://a/x?X-Amz-Credential=secret&part=1&X-Amz-Signature=secret", "https://a/x?X-Amz-Credential=...&part=1&X-Amz-Signature=..."),
    ("https://a/x?sv=1&sig=secret%3D#y", "https://a/x?sv=1&sig=...#y"),
    ("https://a/x?access_token=secret", "https://a/x?access_token=..."),
])  # fmt: skip
def test_a_secret_is_not_shown(text: str, said: str) -> None:
    assert shown(text) == said
    assert has_secret(text)


@pytest.mark.parametrize("text", [
    "sqlite:////data/x.db", "models:/digits@champion", "https://host/a@b?page=2", "git@github.com:me/x.git", "50%",
    "write to me@example.org about https://host/x", "",
])  # fmt: skip
def test_all_else_is_left(text: str) -> None:
    assert shown(text) == text
    assert not has_secret(text)
