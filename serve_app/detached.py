"""Tasks that outlive the request which began them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def detached(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task without the context of the request that is served now.

    Ray Serve remembers there which calls a request has made, and cancels them when its client goes away
    (`_on_request_cancelled` in its replica.py): work that others wait for, too, must not be among them.
    """
    return asyncio.create_task(work, context=contextvars.Context())
