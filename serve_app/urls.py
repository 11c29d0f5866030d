"""Where a server is reached from its own machine."""

from __future__ import annotations

#: A name of this machine for what means all of its addresses.
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def local_url(host: str, port: int) -> str:
    """Of a server that listens there."""
    host = _HERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
