"""Shares of GPUs, and whether they fit: a fraction lies on one GPU, a larger share takes whole ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Shares are sums of fractions; differences below this are rounding.
EPSILON = 1e-9


class Gpus:
    """What is free on each GPU.

    Ray decides where a replica goes: a fraction to the fullest GPU that has room for it. Where replicas have
    ended, Ray's GPUs can have holes that this packing has not; a call then waits in Ray for the next end. And
    where fractions do not divide a GPU (0.3), this quick packing can have holes that another would not have.
    """

    def __init__(self, number: float) -> None:
        """A number that is not whole ends with a part of a GPU."""
        self._whole = math.floor(number + EPSILON)
        part = number - self._whole
        #: What is free on those that are neither whole nor full.
        self._parts = [part] if part > EPSILON else []

    def fits(self, share: float) -> bool:
        if share > 1 - EPSILON:
            return self._whole >= _whole(share)
        return share <= EPSILON or self._whole > 0 or any(part + EPSILON >= share for part in self._parts)

    def take(self, share: float) -> None:
        """Of a share that does not fit, as much as there is."""
        if share > 1 - EPSILON:
            self._whole -= min(self._whole, _whole(share))
        elif share > EPSILON and self.fits(share):
            fullest = min((part for part in self._parts if part + EPSILON >= share), default=None)
            if fullest is None:
                self._whole -= 1
            else:
                self._parts.remove(fullest)
            if (left := (fullest or 1.0) - share) > EPSILON:
                self._parts.append(left)

    def pack(self, replicas: Iterable[tuple[float, int]]) -> bool:
        """Take the shares of so many replicas each, large ones first; whether they fit."""
        fit = True
        for share, number in sorted(replicas, reverse=True):
            for _ in range(number):
                fit = fit and self.fits(share)
                self.take(share)
        return fit


def _whole(share: float) -> int:
    return math.ceil(share - EPSILON)
