"""How values look on a terminal: tables, sizes, times, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from configs.errors import ConfigError
from serve_app.cli.errors import CommandError

COLUMN_GAP = 2
LEAST_WIDTH = 12
#: Invisible, and part of emoji and of Persian and Indic words.
JOINERS = "\u200c\u200d"


def print_json(value: object, console: Console) -> None:
    console.print(json.dumps(value, indent=2, ensure_ascii=False, default=os.fspath))


def print_error(error: CommandError | ConfigError, console: Console) -> int:
    """Print what went wrong and what to do; the exit code."""
    console.print(f"error: {error}", style="red")
    if not isinstance(error, CommandError):
        return CommandError.exit_code
    if error.hint:
        console.print(f"hint: {error.hint}")
    return error.exit_code


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    console: Console,
    *,
    shortened: str | None = None,
    folded: Collection[str] = (),
) -> None:
    """A table that fits the terminal at the cost of the named columns; written to a pipe it is whole."""
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    if not console.is_terminal:
        for row in (columns, *rows):
            padded = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
            console.print((" " * COLUMN_GAP).join(padded).rstrip())
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        if column == shortened:
            room = console.width - sum(widths) + width - COLUMN_GAP * (len(columns) - 1)
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=max(room, LEAST_WIDTH))
        else:
            least = min(width, LEAST_WIDTH) if column in folded else width
            table.add_column(column, no_wrap=column not in folded, min_width=least)
    for row in rows:
        table.add_row(*row)
    console.print(table, soft_wrap=False)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def megabytes(size: int) -> str:
    """`0.3 MB`, of 10^6 bytes."""
    return f"{size / 1e6:.1f} MB"


def gigabytes(value: float) -> str:
    """`0.5 GB`, `34 GB`."""
    return f"{value:.1f} GB" if value < 10 else f"{value:.0f} GB"


def seconds(value: float) -> str:
    """`8 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def local_time(timestamp: str) -> str:
    """An ISO 8601 time in the machine's own time zone, to the second; as given if it is none."""
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return timestamp


def one_line(text: str) -> str:
    """Without line breaks, and without characters that would command the terminal or turn its text around."""
    spaced = " ".join(text.split())
    return "".join(each for each in spaced if each.isprintable() or each in JOINERS)
