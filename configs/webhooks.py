"""Which addresses jobs' ends may be told to, and the key that signs them."""

from __future__ import annotations

import base64
import binascii

#: Marks a secret in base64, as the Standard Webhooks specification writes them.
SECRET_PREFIX = "whsec_"
#: The least that is worth signing with, in bytes; the specification asks for 24 to 64.
LEAST_SECRET = 16


def signing_key(secret: str) -> bytes:
    """The bytes of `whsec_<base64>`, else the text's own. Raises ValueError for too few of them."""
    try:
        encoded = secret.removeprefix(SECRET_PREFIX)
        key = secret.encode() if encoded == secret else base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {SECRET_PREFIX} is not base64") from None
    if len(key) < LEAST_SECRET:
        raise ValueError(
            f"is too short to sign with: {len(key)} bytes, where at least {LEAST_SECRET} are wanted"
        )
    return key


def as_origin(host: str) -> str:
    """`scheme://host[:port]` of what the setting lists; https where it names no scheme."""
    host = host.rstrip("/").lower()
    return host if "://" in host else f"https://{host}"
