"""The picture that a clip begins with: sent as a file, in a data: URL, or named by its id here."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from serve_app.api.openai.errors import invalid
from serve_app.api.openai.schemas import InputReference
from storage.media import MediaId

PARAM = "input_reference"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Either the bytes that were sent, or the id of a picture that is here."""

    data: bytes | None = None
    media_id: MediaId | None = None

    @property
    def content(self) -> bytes:
        """What tells it from others."""
        return str(self.media_id).encode() if self.data is None else self.data


def read_reference(given: InputReference | None, file: bytes | None) -> Reference | None:
    """What was given; None if nothing was. Raises InvalidRequest. Takes a while for large data: URLs."""
    if file is not None:
        return Reference(data=file)
    if given is None:
        return None
    if given.file_id is not None:
        return Reference(media_id=MediaId(given.file_id))
    assert given.image_url is not None
    return Reference(data=_decoded(given.image_url))


def _decoded(url: str) -> bytes:
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "data":
        raise invalid(
            "Pictures at other addresses are not fetched: send the file itself, or a data: URL",
            PARAM,
            code="remote_url_refused",
        )
    head, comma, content = rest.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise invalid("A data: URL must be data:image/png;base64,... or the like", PARAM)
    try:
        return base64.b64decode(unquote_to_bytes(content), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("The data: URL holds no valid base64", PARAM) from None
