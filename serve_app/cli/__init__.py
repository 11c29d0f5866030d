"""The `cyberimage` command: serve, submit, watch, fetch and judge, from a terminal."""

from serve_app.cli.app import main

__all__ = ["main"]
