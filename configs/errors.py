"""What can be wrong with the configuration.

ConfigError
  + SettingsError    a variable has an impossible value
  + RegistryError    a model's entry is wrong: says the file, the entry and the field
"""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration is wrong."""


class SettingsError(ConfigError):
    """A setting has an impossible value."""


class RegistryError(ConfigError):
    """A model's entry is wrong."""

    def __init__(self, *, file: str, entry: str, field: str, problem: str) -> None:
        where = f"{file}: model {entry!r}" if entry else file
        super().__init__(f"{where}, field {field!r}: {problem}" if field else f"{where}: {problem}")
        self.file, self.entry, self.field, self.problem = file, entry, field, problem
