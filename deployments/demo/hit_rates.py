"""How often a demo model is right, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any


def table(groups: Mapping[str, Sequence[Any]]) -> str:
    """Hit rates in Markdown: a row for each named group of verdicts, a column for each of their fields.

    Verdicts are dataclasses of booleans with a property `all`. One group at least has some.
    """
    (kind,) = {type(verdict) for verdicts in groups.values() for verdict in verdicts}
    columns = [field.name for field in fields(kind)]
    head = f"| | prompts | {' | '.join(columns)} | everything |"
    rows = [_row(name, verdicts, [*columns, "all"]) for name, verdicts in groups.items()]
    return "\n".join([head, "|-" * (len(columns) + 3) + "|", *rows])


def _row(name: str, verdicts: Sequence[Any], columns: Sequence[str]) -> str:
    counts = (sum(getattr(verdict, column) for verdict in verdicts) for column in columns)
    rates = " | ".join(f"{100 * count / max(1, len(verdicts)):.0f} %" for count in counts)
    return f"| {name} | {len(verdicts)} | {rates} |"
