"""The webhook of the environment: the address of notifications, and the key that signs them."""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ddpm.common.redact import redact_text

URL, SECRET = "DDPM_WEBHOOK_URL", "DDPM_WEBHOOK_SECRET"
PREFIX = "whsec_"
SHORTEST = 24
"""Fewest characters of a secret, without its prefix."""
SHORTEST_REPLACED = 8
"""Fewest characters of a value that `redacted` replaces; a single letter would occur in every word."""
COMMAND = 'whsec_"$(openssl rand -base64 32)"'
"""Shell text that generates a secret."""


class NotificationError(ValueError):
    """The settings of the webhook are invalid; the message has the remedy."""


@dataclass(frozen=True)
class Webhook:
    """The address of the webhook and the key of its signatures."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)


def webhook(environment: Mapping[str, str] = os.environ) -> Webhook | None:
    """The configured webhook, or None if no address is set.

    Raises NotificationError for an invalid address, and for a secret that is missing, short or not base64.
    """
    url, secret = (environment.get(name, "").strip() for name in (URL, SECRET))
    if not url:
        return None
    _require_address(url)
    return Webhook(url, signing_key(secret))


def signing_key(secret: str) -> bytes:
    """The key of a secret: its base64, with or without the prefix `whsec_`, decoded to bytes.

    The libraries of Standard Webhooks decode secrets in the same way. Text that is not base64 is refused, because some
    libraries skip invalid characters and get another key.
    """
    text = secret.removeprefix(PREFIX)
    if not secret:
        raise NotificationError(
            f"{URL} is set and {SECRET} is not: a receiver could not distinguish notifications from forged ones. Set a "
            f"secret and give the receiver the same one: export {SECRET}={COMMAND}"
        )
    if len(text) < SHORTEST:
        raise NotificationError(
            f"{SECRET} is too short: it must have at least {SHORTEST} characters (after {PREFIX}) and has {len(text)}. "
            f"Make one: export {SECRET}={COMMAND}"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotificationError(
            f"{SECRET} is not base64 with padding, which receivers' libraries require. Make one: export "
            f"{SECRET}={COMMAND}; or encode the text you have: whsec_\"$(printf %s 'TEXT' | openssl base64 -A)\""
        ) from None


def redacted(text: str) -> str:
    """The text without the webhook's address and secret, and without credentials in any other address."""
    for name in (URL, SECRET):
        value = os.environ.get(name, "").strip()
        for each in (value, value.removeprefix(PREFIX)):
            if len(each) >= SHORTEST_REPLACED:
                text = text.replace(each, f"<{name}>")
    return redact_text(text)


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        valid = False
    if not valid or re.search(r"\s", url):
        raise NotificationError(f"{URL} is not a valid address: it must begin with http(s):// and have no spaces")
