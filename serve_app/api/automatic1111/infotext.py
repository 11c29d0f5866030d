"""The text in which AUTOMATIC1111 writes down how a picture was made: a prompt, and a line of fields.

a red fox
Negative prompt: blurry
Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Model: "a, b"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from deployments.metadata import infotext
from serve_app.api.automatic1111.fitting import Adjustment

NEGATIVE = "Negative prompt:"
#: A name, a colon, and a JSON string or a text without a comma.
_FIELD = re.compile(r'([^:,"]+):\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
#: Lines with fewer fields are prompt.
_FEWEST_FIELDS = 3


def told(metadata: Mapping[str, Any], adjustments: Iterable[Adjustment]) -> str:
    """How a picture was made, with what was not made as asked."""
    text = infotext(metadata)
    changed = ", ".join(map(str, adjustments))
    return f'{text}, Adjusted: "{changed}"' if changed else text


def parse(text: str) -> dict[str, str]:
    """The fields by name, `Prompt` and `Negative prompt` among them; a size also as Size-1 and Size-2.

    Every text can be read: what is no line of fields is prompt.
    """
    lines = text.strip().split("\n")
    fields = _fields(lines[-1])
    if len(fields) < _FEWEST_FIELDS:
        fields = {}
    else:
        lines.pop()
    prompt, negative = _prompts(lines)
    sides = re.fullmatch(r"(\d+)x(\d+)", fields.get("Size", ""))
    size = {"Size-1": sides[1], "Size-2": sides[2]} if sides else {}
    return {"Prompt": prompt, "Negative prompt": negative} | fields | size


def _fields(line: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    at = 0
    while at < len(line):
        # Matched from here only: a search would take a time that grows with the square of the length.
        if field := _FIELD.match(line, at):
            fields[field[1].strip()] = _unquoted(field[2].strip())
            at = field.end()
        else:
            at = line.find(",", at) + 1 or len(line)
    return fields


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        text = str(json.loads(value))
    except ValueError:
        return value
    # JSON can carry lone surrogates, UTF-8 cannot.
    return text.encode("utf-8", "replace").decode()


def _prompts(lines: list[str]) -> tuple[str, str]:
    """The prompt, and the negative one, which takes all lines from its heading on."""
    start = next((n for n, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(NEGATIVE)
    return "\n".join(lines[:start]).strip(), negative.strip()
