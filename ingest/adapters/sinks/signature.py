"""Signatures of Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, spec 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
# The bounds of the specification.
MIN_BYTES, MAX_BYTES = 24, 64


def signing_key(secret: str) -> bytes:
    """Return the key from a secret of the form `whsec_` plus base64.

    Raises:
        ValueError: it does not have that form; the message says how to make one and does not quote it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(
            f"the signing secret must be `{PREFIX}` followed by the base64 of {MIN_BYTES} to {MAX_BYTES} random "
            f"bytes; make one with: echo {PREFIX}$(openssl rand -base64 32)"
        )
    return key


def signature_headers(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers that sign a request.

    Args:
        key: from `signing_key`.
        event_id: the same for every attempt to deliver an event.
        timestamp: time of this attempt, seconds since 1970; receivers refuse old ones.
        body: the request's body.
    """
    digest = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
