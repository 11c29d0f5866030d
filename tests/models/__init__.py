"""The engine on real pipeline classes with tiny weights."""
