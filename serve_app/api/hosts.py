"""Which names this server answers to: the guard against DNS rebinding.

A web page at evil.example may let that name point to 127.0.0.1 once it is loaded: then its scripts reach
this server as their own origin. The browser still sends the page's name in the Host header. Addresses and
names that nobody can register in the public DNS cannot be used for this.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

#: Never delegated in the public DNS: RFC 6761, RFC 6762, RFC 8375, and ICANN's resolution of 2024-07-29.
PRIVATE_SUFFIXES = (".localhost", ".local", ".home.arpa", ".internal")


def is_answered(host: str, allowed: Sequence[str]) -> bool:
    """Whether a request with that Host header is answered.

    Every address is, every name without a dot, every name that only a private network knows, and those in
    `allowed`: names, `*.name` for all below one, or `*`.
    """
    name = _name(host).lower().rstrip(".")
    if "." not in name or name.endswith(PRIVATE_SUFFIXES) or _is_address(name):
        return True
    return any(_matches(name, pattern.lower()) for pattern in allowed)


def _name(host: str) -> str:
    """Without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _matches(name: str, pattern: str) -> bool:
    return pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
