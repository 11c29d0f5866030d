"""Which web pages may change something here: the guard against cross-site request forgery.

A page of another origin can make a browser send a POST without asking, with the browser's HTTP Basic
credentials. Browsers say where a request comes from, in Sec-Fetch-Site or Origin; programs send neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(method: str, headers: Mapping[str, str], allowed: Sequence[str]) -> bool:
    """Whether the request would change something and comes from a page of an origin that may not.

    `headers` have lower-case names. `allowed` are origins, or `*`.
    """
    if method in SAFE_METHODS:
        return False
    origin = headers.get("origin")
    if origin is not None and (origin in allowed or "*" in allowed):
        return False
    # Sec-Fetch-Site holds behind a proxy that rewrites Host; browsers send it over HTTPS and to localhost.
    if (site := headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host")
    except ValueError:  # No address at all, such as `http://[`.
        return True
