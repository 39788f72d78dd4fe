"""The address and the secret of the webhook: accepted values, and refusals with their remedy."""

import base64
import re
import subprocess

import pytest
from standardwebhooks.webhooks import Webhook as Library

from ddpm.notifications import NotificationError, redacted, settings, webhook
from ddpm.notifications.signature import sign
from tests.support.receiving import KEY, SECRET

ADDRESS = "https://chat.example.org/hooks/ddpm"


def configured(secret: str, url: str = ADDRESS) -> settings.Webhook:
    found = webhook({"DDPM_WEBHOOK_URL": url, "DDPM_WEBHOOK_SECRET": secret})
    assert found is not None
    return found


def test_without_an_address_there_is_no_webhook_whatever_the_secret() -> None:
    assert webhook({}) is None
    assert webhook({"DDPM_WEBHOOK_SECRET": "short"}) is None
    assert webhook({"DDPM_WEBHOOK_URL": " "}) is None


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), f" {SECRET}\n"])
def test_the_key_is_the_base64_of_the_secret_with_or_without_its_prefix(secret: str) -> None:
    assert configured(secret).key == KEY


@pytest.mark.parametrize(
    "secret",
    [SECRET, "0123456789abcdef" * 4, "A" * 24],
    ids=["prefix", "as `openssl rand -hex 32` makes it", "shortest"],
)
def test_a_receivers_library_reads_the_same_key(secret: str) -> None:
    assert configured(secret).key == Library(secret)._whsecret


def test_the_documented_command_makes_a_secret_of_32_bytes() -> None:
    command = f"printf %s {settings.COMMAND}"
    made = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert len(configured(made).key) == 32


@pytest.mark.parametrize("secret", ["A" * 23, "whsec_" + "A" * 20, "whsec_", "x"])
def test_a_short_secret_is_refused_with_the_remedy(secret: str) -> None:
    with pytest.raises(NotificationError, match=r"at least 24 characters.*export DDPM_WEBHOOK_SECRET=whsec_"):
        configured(secret)


def test_a_missing_secret_is_refused_with_the_remedy() -> None:
    with pytest.raises(NotificationError, match=r"forged ones.*export DDPM_WEBHOOK_SECRET=whsec_"):
        configured("")


@pytest.mark.parametrize(
    "secret",
    [
        "correct horse battery staple",
        "correct horse battery staple abc",
        "a-passphrase_of_enough_characters",
        "A" * 25,
        "ü" * 32,
        "whsec_" + "A" * 30,
    ],
)
def test_text_that_is_not_base64_is_refused_with_a_command_that_encodes_it(secret: str) -> None:
    with pytest.raises(NotificationError, match="not base64") as refused:
        configured(secret)
    command = re.search(r"you have: (.*)$", str(refused.value))
    assert command
    text = secret.removeprefix("whsec_")
    filled = f"printf %s {command[1].replace('TEXT', text)}"
    made = subprocess.run(["bash", "-c", filled], capture_output=True, text=True, check=True).stdout
    assert configured(made).key == text.encode()


@pytest.mark.parametrize(
    "url", ["chat.example.org/token", "ftp://h/token", "https:///token", "https://h/to ken", "https://h:70000/token",
            "https://[::1/token"],
)  # fmt: skip
def test_an_invalid_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(NotificationError, match="is not a valid address") as refused:
        configured(SECRET, url)
    assert "token" not in str(refused.value)
    assert "ken" not in str(refused.value)


def test_address_and_key_are_in_no_representation() -> None:
    assert repr(configured(SECRET)) == "Webhook()"


def test_redaction_takes_out_address_and_secret_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_WEBHOOK_URL", ADDRESS)
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
    text = f"no route to {ADDRESS} with {SECRET}, {SECRET.removeprefix('whsec_')} or http://ann:hunter2@store/x"
    wanted = "no route to <DDPM_WEBHOOK_URL> with <DDPM_WEBHOOK_SECRET>, <DDPM_WEBHOOK_SECRET> or http://store/x"
    assert redacted(text) == wanted
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", "x")
    assert redacted("an x-ray") == "an x-ray"


def test_known_answer_of_the_signature() -> None:
    """The HMAC of RFC 4231, test case 2, whose data contain no full stop, split into ID, time and body."""
    digest = base64.b64decode(sign("a", 1, b"b", b"Jefe").removeprefix("v1,"))
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", "Jefe", "-binary"], input=b"a.1.b", capture_output=True, check=True
    )
    assert digest == done.stdout
