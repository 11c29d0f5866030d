"""What a job shows while it runs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.serving import ENDLESS, Api

pytestmark = pytest.mark.acceptance


def test_a_preview_shows_what_is_being_made(api: Api) -> None:
    job_id = api.paint("a large red circle on a blue background", **ENDLESS)
    try:
        view = api.until(job_id, lambda job: job["progress"]["preview"] is not None)
        reply = api.http.get(view["progress"]["preview_url"])
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp")
        picture = Image.open(BytesIO(reply.content)).convert("RGB")
        assert picture.size == (256, 256)
        red, _, blue = np.moveaxis(np.asarray(picture, np.int16), -1, 0)
        assert np.mean(blue > red + 60) > 0.4, "it is not the background that was asked for"
    finally:
        api.post(f"/api/jobs/{job_id}/cancel")
    api.end(job_id)
    assert api.http.get(f"/api/jobs/{job_id}/preview").status_code == 404
