"""Routes that say which parameter is wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from serve_app.api.errors import InvalidRequest, validation_message


class TellingRoute(APIRoute):
    """Turns what FastAPI finds wrong into a refusal that names the parameter."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def telling(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                raise refusal(list(error.errors()), error.body) from error

        return telling


def refusal(problems: list[dict[str, Any]], body: Any) -> InvalidRequest:
    """What Pydantic found, with the parameter that comes first."""
    param = next((str(part) for part in problems[0]["loc"][1:]), None)
    message = validation_message(problems, body)
    return InvalidRequest(message, code="invalid_request", details={"param": param})
