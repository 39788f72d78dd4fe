"""The signature of Standard Webhooks: HMAC-SHA256 over ID, time and body."""

import base64
import hashlib
import hmac


def sign(identifier: str, timestamp: int, body: bytes, key: bytes) -> str:
    """The value of `webhook-signature`: `v1,` and the base64 of the HMAC of `ID.TIMESTAMP.BODY`."""
    signed = b".".join((identifier.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def headers(identifier: str, timestamp: int, body: bytes, key: bytes) -> dict[str, str]:
    """The headers of one attempt. timestamp: its time, in seconds since 1970; receivers refuse old ones."""
    return {
        "Content-Type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(identifier, timestamp, body, key),
    }
