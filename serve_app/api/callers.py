"""Who asks, and what they may see. Without configured keys everyone is let in and sees everything."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from configs.settings import Settings
from serve_app.api.errors import Forbidden


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """One client: the id of its API key, else its address."""

    client: str | None
    #: Sees everyone's jobs and media, and may do what concerns everyone.
    admin: bool

    @property
    def scope(self) -> str | None:
        """The client whose jobs and media the caller may see; None for everyone's."""
        return None if self.admin else self.client

    def must_be_admin(self, why: str = "This concerns every client") -> None:
        """Raises Forbidden."""
        if not self.admin:
            raise Forbidden(f"{why}, so it wants an admin key (CYBERIMAGE_ADMIN_KEYS)")


class Keys:
    """The configured API keys, as digests.

    The key is the admin's when it is one of `admin_keys`, or when it is the only key there is.
    """

    def __init__(self, settings: Settings) -> None:
        plain, admin = _digests(settings.api_keys), _digests(settings.admin_keys)
        self._all = (*admin, *plain)
        self._admin = admin or (plain if len(plain) == 1 else ())

    def __bool__(self) -> bool:
        return bool(self._all)

    def caller(self, authorization: str) -> Caller | None:
        """Who presents this Authorization header: a bearer token, or HTTP Basic with a key as password."""
        given = hashlib.sha256(_presented(authorization)).digest()
        known = _is_among(given, self._all)
        admin = _is_among(given, self._admin)
        return Caller(client=f"key:{given.hex()[:12]}", admin=admin) if known else None


def _digests(keys: Sequence[SecretStr]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys)


def _is_among(given: bytes, digests: Sequence[bytes]) -> bool:
    """Compares with every digest in constant time, so that the time tells nothing, not even a length."""
    found = False
    for digest in digests:
        found |= hmac.compare_digest(given, digest)
    return found


def _presented(authorization: str) -> bytes:
    """The key in the header; empty if there is none. Headers are read as Latin-1, keys are UTF-8."""
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip().encode("latin-1")
        case "basic":
            try:
                return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return b""
    return b""


async def caller_of(request: Request) -> Caller:
    """Whom the gate let in."""
    caller: Caller = request.state.caller
    return caller


CalledBy = Annotated[Caller, Depends(caller_of)]
