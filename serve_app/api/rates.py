"""How many requests a client may send: a token bucket each, in a file that the ingress processes share.

Clients behind one proxy count as one unless they have API keys.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct

log = logging.getLogger("cyberimage.rates")

#: Places for buckets, and those of them in which a client's bucket may be: of as many clients who come to
#: the same places, the one that has been silent longest is forgotten.
PLACES, NEIGHBOURS = 16_384, 8
#: A client's digest, its tokens left, and when they were counted, in seconds since the machine's start.
_BUCKET = Struct("=8sdd")


@dataclass(frozen=True, slots=True)
class _Bucket:
    client: bytes
    left: float
    counted_at: float


class Rates:
    """Each client may send `per_minute` requests at once, and gets as many back within a minute.

    Any number of processes of one machine may count in one file; reading and writing it takes microseconds,
    since it stays in memory. While it cannot be written (a full disk), nobody is held back.
    """

    def __init__(self, per_minute: int, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        os.close(self._file)

    def spend(self, client: str) -> float:
        """0 if the client may send a request now; else nothing is spent, and the seconds until it may."""
        try:
            with self._locked():
                return self._spend(blake2b(_network(client).encode(), digest_size=8).digest())
        except OSError as error:
            log.warning("requests are not counted: %s", error)
            return 0.0

    def _spend(self, client: bytes) -> float:
        place, bucket = self._find(client)
        now = self._clock()
        # A count of the future is one from before the machine's last start.
        since = now - bucket.counted_at if bucket.client == client and bucket.counted_at <= now else math.inf
        left = min(bucket.left + since * self._most / 60, self._most)
        allowed = left >= 1
        os.pwrite(self._file, _BUCKET.pack(client, left - allowed, now), place * _BUCKET.size)
        return 0.0 if allowed else (1 - left) * 60 / self._most

    def _find(self, client: bytes) -> tuple[int, _Bucket]:
        """The client's place; if it has none, the one to take: that of the longest silence."""
        first = int.from_bytes(client) % PLACES
        data = os.pread(self._file, NEIGHBOURS * _BUCKET.size, first * _BUCKET.size)
        data = data.ljust(NEIGHBOURS * _BUCKET.size, b"\0")
        buckets = [_Bucket(*fields) for fields in _BUCKET.iter_unpack(data)]
        number = min(range(NEIGHBOURS), key=lambda n: (buckets[n].client != client, buckets[n].counted_at))
        return first + number, buckets[number]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time. The lock of one that dies goes with it."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


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
