"""Bytes of one file from the Hub into the cache, beginning where an earlier attempt ended.

huggingface_hub (2.4) drops what it has of a file when a download fails, and checks only the size. Files of
these models have 10 GB, so this keeps the bytes and checks the digest.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Self

import httpx2
from filelock import Timeout
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status

from deployments.weights.cache import HubFile, Snapshot
from deployments.weights.patience import Patience, Stopped
from deployments.weights.places import DownloadSettings

_READ_BYTES = 1 << 20
_LOCK_POLL_S = 1.0


@cache
def _certificates() -> SSLContext:
    """Read once a process: it takes longer than a small model from a near mirror."""
    return httpx2.create_ssl_context()


class Damaged(Exception):
    """The bytes of a file are not those that the Hub lists."""


class Transfer:
    """Downloads of one model. Its methods may run in several threads."""

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._client = httpx2.Client(
            follow_redirects=True, timeout=settings.timeout_s, verify=_certificates()
        )
        # Compressed bytes could not be resumed.
        self._headers = build_hf_headers(token=settings.token, library_name="cyberimage") | {
            "Accept-Encoding": "identity"
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._client.close()

    def stop(self) -> None:
        """Make running downloads end with `Stopped` at their next bytes; these stay for the next time."""
        self._stop.set()

    def get(self, snapshot: Snapshot, file: HubFile) -> None:
        """Put `file` into the snapshot; nothing is asked for if another process has done so meanwhile.

        Raises:
            httpx2.HTTPError, OSError: the network, the Hub or the disk failed.
            Damaged: what came is not the file; it was deleted.
            Stopped: after `stop`.
        """
        if snapshot.has(file):
            return
        with self._locked(snapshot.lock(file)):
            if not snapshot.has_blob(file):
                self._download(snapshot, file)
        snapshot.link(file)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            while True:
                if self._stop.is_set():
                    raise Stopped
                with suppress(Timeout):
                    stack.enter_context(WeakFileLock(path, timeout=_LOCK_POLL_S))
                    break
            yield

    def _download(self, snapshot: Snapshot, file: HubFile) -> None:
        url = hf_hub_url(
            snapshot.place.repo, file.name, revision=snapshot.commit, endpoint=self._settings.endpoint
        )
        path = snapshot.partial(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        patience = Patience(self._settings, self._stop)
        with _Partial(path, file) as partial:
            while partial.missing:
                before = partial.size
                try:
                    self._receive(url, partial)
                except (httpx2.HTTPError, OSError) as error:
                    if partial.size > before:
                        patience.renew()
                    patience.bear(error)
            sound = partial.finish()
        if not sound:
            path.unlink()
            raise Damaged(file.name)
        path.replace(snapshot.blob(file))

    def _receive(self, url: str, partial: _Partial) -> None:
        """One request for what is missing. Raises unless everything came."""
        headers = dict(self._headers)
        if partial.size:
            headers["Range"] = f"bytes={partial.size}-"
        with self._client.stream("GET", url, headers=headers) as response:
            hf_raise_for_status(response)
            if response.status_code != httpx2.codes.PARTIAL_CONTENT:
                partial.restart()
            for chunk in response.iter_bytes():
                if self._stop.is_set():
                    raise Stopped
                partial.append(chunk)
        if partial.missing:
            raise httpx2.RemoteProtocolError("the answer ended early")


class _Partial:
    """A file that grows towards a listed size and digest, from what an earlier attempt left."""

    def __init__(self, path: Path, file: HubFile) -> None:
        self._file = file
        self._stream = path.open("a+b", buffering=0)
        self._begin()
        self._stream.seek(0)
        while data := self._stream.read(_READ_BYTES):
            self._count(data)
        if self.size > file.size:
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def missing(self) -> int:
        return max(self._file.size - self.size, 0)

    def restart(self) -> None:
        self._stream.truncate(0)
        self._begin()

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._stream.write(view)
            self._count(view[:written])
            view = view[written:]

    def finish(self) -> bool:
        """Bring the bytes to the disk; whether they are the listed ones."""
        os.fsync(self._stream.fileno())
        return self.size == self._file.size and self._digest.hexdigest() == self._file.digest

    def _begin(self) -> None:
        self.size = 0
        if len(self._file.digest) == 64:
            self._digest = hashlib.sha256()
        else:  # As git names a blob.
            self._digest = hashlib.sha1(b"blob %d\0" % self._file.size, usedforsecurity=False)

    def _count(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._digest.update(data)
