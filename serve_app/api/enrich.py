"""Prompts written out by a language model, behind any OpenAI-compatible chat API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter
from pydantic import BaseModel, Field

from configs.settings import Settings
from serve_app.api.errors import InvalidRequest, ModelServerFailed, ModelServerSlow, NotConfigured
from serve_app.api.schemas import Text
from serve_app.api.services import Injected

router = APIRouter(prefix="/api", tags=["Prompts"])

#: Seconds for the whole answer.
TIMEOUT_S = 30.0
#: The longest prompt that a model here takes, in characters.
LONGEST = 2000
MOST_TOKENS = 300

Style = Literal["cyberpunk", "anime", "realistic", "enhance", "fantasy", "sci-fi"]
LOOKS: Mapping[Style, str] = {
    "cyberpunk": "cyberpunk: neon light, rain, chrome, dense future cities, high contrast",
    "anime": "anime: clean lines, expressive faces, cel shading, vivid colour",
    "realistic": "a photograph: lens, light, materials and depth of field as a photographer would name them",
    "enhance": "the style that the prompt suggests by itself, with richer detail",
    "fantasy": "fantasy: magic, mythic places, painterly light",
    "sci-fi": "science fiction: plausible machines, space, clean future design",
}
TASK = (
    "You write prompts for picture and video models. Write the user's prompt out in the style of {look}. "
    "Keep what it shows and everything it says. Add subject detail, setting, light, colour and composition. "
    "Answer with the prompt alone: one paragraph of at most 120 words, without quotes or remarks."
)
#: What reasoning models think aloud before they answer.
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)


class EnrichBody(BaseModel):
    """POST /api/enrich."""

    prompt: Annotated[Text, Field(max_length=LONGEST)]
    style: Style = "enhance"


@router.post("/enrich")
async def enrich(body: EnrichBody, services: Injected) -> dict[str, Any]:
    """The prompt, written out in a style. 503: no language model is configured; 504: it is too slow."""
    if not body.prompt.strip():
        raise InvalidRequest("No prompt provided")
    answer = await _ask(services.settings, body)
    return {"original_prompt": body.prompt, "enriched_prompt": answer, "style": body.style}


async def _ask(settings: Settings, body: EnrichBody) -> str:
    if settings.openai_endpoint is None:
        raise NotConfigured(
            "No language model is configured: set OPENAI_ENDPOINT (and OPENAI_API_KEY, OPENAI_MODEL) "
            "to an OpenAI-compatible chat API",
            code="enrich_not_configured",
        )
    key = settings.openai_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    url = f"{settings.openai_endpoint.rstrip('/')}/chat/completions"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            reply = await client.post(url, json=_request(settings, body), headers=headers)
        reply.raise_for_status()
        return _text_of(reply.json())
    except httpx.TimeoutException as error:
        raise ModelServerSlow(f"The language model did not answer within {TIMEOUT_S:g} s") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise ModelServerFailed(f"The language model's server refused the request with {status}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelServerFailed("The language model's server cannot be reached") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ModelServerFailed("The language model's server gave no usable answer") from error


def _request(settings: Settings, body: EnrichBody) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": TASK.format(look=LOOKS[body.style])},
        {"role": "user", "content": body.prompt},
    ]
    return {
        "model": settings.openai_model,
        "messages": messages,
        "temperature": 0.7,
        "max_tokens": MOST_TOKENS,
    }


def _text_of(reply: Any) -> str:
    """The answer's text. Raises LookupError, TypeError or ValueError where there is none."""
    text = THOUGHTS.sub("", reply["choices"][0]["message"]["content"]).strip().strip('"').strip()
    if not text:
        raise ValueError("empty")
    return text[:LONGEST]
