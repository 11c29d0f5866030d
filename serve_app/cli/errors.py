"""What ends a command early.

CommandError
  x Unreachable
    + NoServer      nothing listens at the address
    + NoAnswer      the connection broke, or the reply did not come in time
  + BadReply        something answers, but not as CyberImage does
  + Refused         the server refused the request, with its reason
  + JobEnded        the job failed or was cancelled
  + Interrupted     Ctrl-C
  + NothingToDo     the arguments name nothing that exists
"""

from __future__ import annotations

from typing import ClassVar


class CommandError(Exception):
    """The command cannot go on. Printed as its message, then `hint`; ends the process with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(CommandError):
    """No reply came; the same request may succeed later."""


class NoServer(Unreachable):
    """Nothing listens at the server's address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"no server at {url}", hint="start one with `cyberimage up`")


class NoAnswer(Unreachable):
    """The connection broke, or the reply did not come in time."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the server at {url} does not answer", hint="`cyberimage status` says whether it is well"
        )


class BadReply(CommandError):
    """The address answers, but not as CyberImage does."""


class Refused(CommandError):
    """The server refused the request: with HTTP status `status`, for the reason `code`."""

    def __init__(self, message: str, *, status: int, code: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class JobEnded(CommandError):
    """The job ended without a result."""


class Interrupted(CommandError):
    """The person pressed Ctrl-C; the message says what became of the job."""

    exit_code = 130


class NothingToDo(CommandError):
    """The arguments name nothing that exists."""
