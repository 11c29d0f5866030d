"""Variables of the environment that look like settings and are none."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping

from dotenv import dotenv_values

from configs.hardware import CPU_ONLY
from configs.settings import DOTENV, PREFIX, variable_names

#: Read by the command alone.
COMMANDS_OWN = ("CYBERIMAGE_URL", "CYBERIMAGE_API_KEY")


def misspelt(variables: Mapping[str, str | None]) -> Iterator[str]:
    """A sentence for each `CYBERIMAGE_*` variable that nothing reads, with the name that may be meant."""
    known = {*variable_names(), *COMMANDS_OWN, CPU_ONLY}
    for name in sorted(variables):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
            yield f"{name} is no setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def given() -> dict[str, str | None]:
    """The environment, and what `.env` adds to it."""
    return {**(dotenv_values(DOTENV) if DOTENV.is_file() else {}), **os.environ}
