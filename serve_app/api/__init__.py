"""The HTTP API: routes over the services that the composition root hands in. Knows no Ray and no torch."""

from serve_app.api.app import create_app
from serve_app.api.services import Services

__all__ = ["Services", "create_app"]
