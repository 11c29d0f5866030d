"""The real `cyberimage up` in a process of its own, and what a stranger would make with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO

import pytest
from PIL import Image

from tests.servers import Server
from tests.serving import Api, View


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings of a fresh machine."""
    server = Server(tmp_path_factory.mktemp("server") / "home")
    try:
        server.up()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="package")
def api(server: Server) -> Iterator[Api]:
    with closing(Api(server.url)) as api:
        yield api


@pytest.fixture(scope="package")
def upload(api: Api) -> View:
    """A picture of a person's own, twice as wide as high, left half red and right half blue."""
    picture = Image.new("RGB", (640, 320), (220, 40, 40))
    picture.paste((40, 80, 220), (320, 0, 640, 320))
    file = BytesIO()
    picture.save(file, "JPEG", quality=95)
    return api.upload(file.getvalue())


CLIP = {"num_frames": 9, "fps": 8, "num_inference_steps": 4, "seed": 11}


@pytest.fixture(scope="package")
def made(api: Api, upload: View) -> dict[str, View]:
    """One job of every kind, ended. Submitted together, so that each model is loaded once."""
    jobs = {
        "flux": api.paint(seed=3, num_images=2),
        "sd35": api.paint(model="demo-sd35", seed=4, width=96, height=64, num_inference_steps=6),
        "wan-t2v": api.film(model="demo-wan-t2v", width=96, height=64, **CLIP),
        "ltx-t2v": api.film(model="demo-ltx-t2v", width=64, height=96, **CLIP),
    }
    (painted,) = api.completed(jobs["flux"])
    for family in ("wan", "ltx"):
        model = f"demo-{family}-i2v"
        jobs[f"{family}-i2v"] = api.animate(painted["image_ids"][0], model, **CLIP)
        jobs[f"{family}-i2v of an upload"] = api.animate(upload["id"], model, width=128, height=64, **CLIP)
    return {name: api.end(job_id) for name, job_id in jobs.items()}
