"""Whether shares fit on GPUs, found by trying every way: what the server's quick packing is held against."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache


def fits(shares: Iterable[float], gpus: int) -> bool:
    """Whether there is a way to lay the shares on the GPUs: a fraction on one, larger ones on whole ones."""

    @cache
    def lay(place: int, free: tuple[float, ...]) -> bool:
        if place == len(ordered):
            return True
        share = ordered[place]
        if share >= 1:
            empty = [gpu for gpu, left in enumerate(free) if left == 1][: int(share)]
            taken = tuple(0.0 if gpu in empty else left for gpu, left in enumerate(free))
            return len(empty) == share and lay(place + 1, tuple(sorted(taken)))
        return any(
            left >= share - 1e-9
            and lay(place + 1, tuple(sorted((*free[:gpu], round(left - share, 9), *free[gpu + 1 :]))))
            for gpu, left in enumerate(free)
        )

    ordered = sorted((share for share in shares if share > 0), reverse=True)
    return lay(0, (1.0,) * gpus)
