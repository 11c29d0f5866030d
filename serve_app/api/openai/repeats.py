"""A submit that comes again must not become a second job, and two equal ones must become two.

The SDKs send no idempotency key. After a time-out, a lost connection or an error they send the request again
and count that in a header. So every job keeps a hash of its request, and one that comes again is the newest
job of the same client and hash that can have been its first sending: none that is older than all the tries
together can last, and of several equal ones each is given away once a try (storage/resends.py). That holds
while the first sending is still at work, after its client has gone, and after a restart of the server.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime, timedelta

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request

from serve_app.api.openai.refusals import retry_count
from serve_app.api.submission import Idempotency
from storage.jobs import Resend

#: In which the SDKs say how long they wait, in seconds: Python's, and that for Node.js.
TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")
#: Seconds that the SDKs wait for an answer if they do not say.
DEFAULT_TIMEOUT_S = 600.0
#: Seconds that they wait at most before they send again, and some for the network.
PAUSE_S = 150.0
LONGEST = timedelta(hours=24)


def sending_of(
    request: Request, key: str | None, body: BaseModel, *, now: datetime, file: bytes | None = None
) -> Idempotency:
    """What this submit is known by: its key if it has one, the hash of what it asks, how often it came."""
    text = json.dumps([request.url.path, body.model_dump(mode="json")], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    digest.update(hashlib.sha256(file).digest() if file is not None else b"")
    resend = None if request.state.first else _resend(request.headers, now)
    return Idempotency(key or None, digest.hexdigest(), resend)


def _resend(headers: Headers, now: datetime) -> Resend:
    count = retry_count(headers)
    longest = timedelta(seconds=count * (_timeout_s(headers) + PAUSE_S))
    return Resend(count=count, since=now - min(longest, LONGEST))


def _timeout_s(headers: Headers) -> float:
    """How long the SDK waits for an answer."""
    try:
        seconds = float(next((headers[name] for name in TIMEOUTS if name in headers), ""))
    except ValueError:
        return DEFAULT_TIMEOUT_S
    if not (seconds > 0 and math.isfinite(seconds)):
        return DEFAULT_TIMEOUT_S
    return min(seconds, LONGEST.total_seconds())
