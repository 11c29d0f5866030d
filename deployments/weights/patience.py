"""Which failures of the network pass, and how long to wait for that."""

from __future__ import annotations

import threading

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from deployments.weights.places import DownloadSettings

_PASSING = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_LONGEST_WAIT_S = 30.0


class Stopped(Exception):
    """The download was called off."""


class Patience:
    """Counts tries in vain. Waits double from `retry_wait_s` up to half a minute."""

    def __init__(self, settings: DownloadSettings, stop: threading.Event | None = None) -> None:
        self._settings = settings
        self._stop = stop or threading.Event()
        self._failures = 0

    def renew(self) -> None:
        """There was progress: begin to count again."""
        self._failures = 0

    def bear(self, error: Exception) -> None:
        """Wait before the next try, or raise `error` where no further try would help.

        Raises:
            Stopped: `stop` was set.
        """
        self._failures += 1
        if not passes(error) or self._failures >= self._settings.attempts:
            raise error
        wait = min(self._settings.retry_wait_s * 2 ** (self._failures - 1), _LONGEST_WAIT_S)
        if self._stop.wait(wait):
            raise Stopped from error


def passes(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING_STATUS
    return isinstance(error, _PASSING)
