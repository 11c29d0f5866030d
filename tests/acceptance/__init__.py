"""The real server, from outside. A package, so that its server ends with its tests."""
