"""Tests that start processes of their own. They see nobody's settings and start no Ray, as unit tests."""

from tests.unit.conftest import clean_environment, no_ray

__all__ = ["clean_environment", "no_ray"]
