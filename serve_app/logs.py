"""Our log lines among Ray Serve's, in the file of each replica that its dashboard shows."""

from __future__ import annotations

import logging
from logging.handlers import MemoryHandler


def join_serve_log() -> None:
    """Write what `cyberimage` loggers say into this replica's file; Serve adds the request's id.

    Elsewhere than in a replica, the lines go where the process's log goes.
    """
    log = logging.getLogger("cyberimage")
    log.setLevel(logging.INFO)
    for handler in logging.getLogger("ray.serve").handlers:
        # The one that leads to the file; outside replicas Serve has others.
        if isinstance(handler, MemoryHandler) and handler not in log.handlers:
            log.addHandler(handler)
            log.propagate = False
