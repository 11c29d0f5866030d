"""Requests made from the API's own description, good and bad ones, single and in chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import EngineEvent, FatalError, NonFatalError, ScenarioFinished
from schemathesis.openapi import from_asgi
from schemathesis.schemas import BaseSchema

WAITING = ["/v1/images/generations", "/sdapi/v1/txt2img"]
"""They answer when their pictures are there."""
KEYS = {"api_keys": "first-key,second-key", "admin_keys": "admin-key"}


def config(max_examples: int, *, pictures: bool = False, **headers: str) -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "seed": 1,
            "headers": headers,
            "continue-on-failure": True,
            "request-timeout": 10.0,
            # Streams of events have no end.
            "max-stream-events": 1,
            # Else `wait` would hold replies for a minute.
            "parameters": {"query.wait": 0},
            "generation": {"deterministic": True, "database": "none", "max-examples": max_examples},
            # What a model accepts depends on more than a schema can say.
            "checks": {"positive_data_acceptance": {"enabled": False}},
            # It answers 503 here: no language model is configured.
            "operations": [
                {"include-path": "/api/enrich", "checks": {"not_a_server_error": {"enabled": False}}},
                # They wait for their jobs, while other requests pause the queue: they are tested apart.
                *({"include-path": path, "enabled": pictures} for path in WAITING),
            ],
        }
    )


def failures(event: EngineEvent) -> Iterator[str]:
    """What went wrong, with a curl command that repeats it."""
    if isinstance(event, NonFatalError | FatalError):
        yield str(event)
    if isinstance(event, ScenarioFinished):
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.status is Status.FAILURE and check.failure_info is not None:
                    yield f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"


@pytest.mark.parametrize(
    ("settings", "headers", "max_examples"),
    [({}, {}, 15), (KEYS, {"Authorization": "Bearer first-key"}, 4)],
    ids=["open", "with keys"],
)
def test_no_request_breaks_the_server_and_every_reply_is_as_described(
    make_app: Callable[..., FastAPI], settings: dict[str, str], headers: dict[str, str], max_examples: int
) -> None:
    app = make_app(**settings)
    authorized = {"headers": {"Authorization": "Bearer first-key"}} if settings else {}
    schema = from_asgi("/openapi.json", app, config=config(max_examples, **headers), **authorized)
    assert_sound(schema, least=500)


@pytest.mark.parametrize("path", WAITING)
def test_no_request_for_pictures_breaks_the_server(make_app: Callable[..., FastAPI], path: str) -> None:
    schema = from_asgi("/openapi.json", make_app(max_pending="100"), config=config(20, pictures=True))
    assert_sound(schema.include(path=path), least=20)


def assert_sound(schema: BaseSchema, *, least: int) -> None:
    """Nothing went wrong in at least so many requests."""
    events = list(from_schema(schema).execute())
    cases = sum(len(event.recorder.cases) for event in events if isinstance(event, ScenarioFinished))
    assert cases > least
    assert "\n\n".join(dict.fromkeys(failure for event in events for failure in failures(event))) == ""
