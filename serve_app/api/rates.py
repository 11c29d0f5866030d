"""How many requests a client may send: a token bucket each, in the memory of this process.

Every ingress process counts for itself and from the beginning; clients behind one proxy count as one
unless they have API keys.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

#: Buckets kept; the client that has been silent longest is forgotten first.
MOST_CLIENTS = 10_000


class Rates:
    """Each client may send `per_minute` requests at once, and gets as many back within a minute."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        #: Tokens left, and when they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, client: str) -> float:
        """0 if the client may send a request now; else nothing is spent, and the seconds until it may."""
        name, now = _network(client), self._clock()
        left, counted_at = self._buckets.pop(name, (self._most, now))
        left = min(left + (now - counted_at) * self._most / 60, self._most)
        allowed = left >= 1
        self._buckets[name] = (left - allowed, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most


def whole_seconds(seconds: float) -> int:
    """For a Retry-After header: rounded up, at least 1."""
    return max(math.ceil(seconds), 1)


def _network(client: str) -> str:
    """An IPv6 customer has a /64 of addresses, and counts as one client."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
