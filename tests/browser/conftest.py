"""Chromium on the page: of the real server, or of one in a process that is quick to start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.processes import free_port
from tests.servers import Server
from tests.serving import Api

REPOSITORY = Path(__file__).parents[2]
AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
#: What the page may say in the console when the server is away on purpose.
NETWORK = ("net::ERR_", "Failed to load resource")

OpenPage = Callable[..., Page]
Waiting = Callable[..., list[str]]

#: Playwright's five seconds are little for a machine that does other things, too.
expect.set_options(timeout=30_000)


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        assert not os.environ.get("CI"), "no Chromium: apt-get install chromium"
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with the tests of this folder: until then its event loop runs, and no other test can start one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Pages, each in a context of its own unless it is given one. None may report an error."""
    troubles: list[str] = []

    with ExitStack() as stack:

        def open_page(url: str, *, beside: Page | None = None, wait: bool = True, **options: Any) -> Page:
            wanted = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"} | options
            context = beside.context if beside else browser.new_context(**wanted)
            if beside is None:
                stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
            page.goto(url)
            if wait:
                page.locator("#app > main").wait_for()
            return page

        yield open_page
    assert not [trouble for trouble in troubles if not any(text in trouble for text in NETWORK)]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`cyberimage up` with the demo models."""
    server = Server(tmp_path_factory.mktemp("page") / "home", port=free_port())
    try:
        server.up()
        yield server
    finally:
        server.end()


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """Of the real server; every job is ended before the next test."""
    with closing(Api(server.url)) as api:
        yield api
        api.post("/api/queue/resume")
        api.post("/api/queue/clear")
        for job in api.get("/api/jobs", status="processing")["jobs"]:
            api.http.post(f"/api/jobs/{job['id']}/cancel")
            api.end(job["id"])


@pytest.fixture(scope="package")
def running_quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with quick_server(tmp_path_factory.mktemp("quick"), media=60) as url:
        yield url


@pytest.fixture
def quick(running_quick: str) -> Iterator[str]:
    """The address of a server in one process, with some pictures; every job is ended before the next test."""
    yield running_quick
    end_all(running_quick)


@pytest.fixture
def paused(quick: str) -> Iterator[str]:
    """The address of a server whose queue is empty and paused."""
    end_all(quick)
    httpx.post(f"{quick}/api/queue/pause")
    yield quick
    httpx.post(f"{quick}/api/queue/resume")


@pytest.fixture
def line(paused: str) -> Waiting:
    """Queues jobs with these prompts; without any, tells those that wait, in running order."""

    def line(*prompts: str) -> list[str]:
        for prompt in prompts:
            httpx.post(f"{paused}/api/generate", json={"model_id": "demo-flux", "prompt": prompt})
        waiting = httpx.get(f"{paused}/api/jobs?status=pending").json()["jobs"]
        return [job["prompt"] for job in sorted(waiting, key=lambda job: job["queue_position"])]

    return line


def end_all(url: str) -> None:
    """End every job of the server."""
    httpx.post(f"{url}/api/queue/clear")
    for job in httpx.get(f"{url}/api/jobs?status=processing").json()["jobs"]:
        httpx.post(f"{url}/api/jobs/{job['id']}/cancel")
    while httpx.get(f"{url}/api/queue").json()["processing"]:
        time.sleep(0.05)


def submit(url: str, prompt: str, model: str = "demo-flux", **settings: Any) -> str:
    """By the API; the job's id."""
    body = {"model_id": model, "prompt": prompt, "settings": settings}
    return str(httpx.post(f"{url}/api/generate", json=body).json()["job_id"])


def card(page: Page, prompt: str) -> Locator:
    """Of the latest job with that prompt."""
    return page.locator(".card").filter(has_text=prompt).first


def rows(page: Page) -> Locator:
    """Of the waiting jobs, on the queue's page."""
    return page.get_by_role("list", name="Waiting").get_by_role("listitem")


def prompt_field(page: Page) -> Locator:
    page.locator(".picker-button").wait_for()
    return page.get_by_label("Prompt", exact=True)


@contextmanager
def quick_server(
    folder: Path,
    *,
    media: int,
    step_s: float = 0.05,
    port: int | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[str]:
    """The address of a server in one process, which `end` ends."""
    port = port or free_port()
    command = [sys.executable, "-m", "tests.browser.in_process_server", "--folder", str(folder)]
    command += ["--port", str(port), "--media", str(media), "--step-s", str(step_s)]
    log = (folder / "server.log").open("wb")
    with log, subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process, folder / "server.log")
            yield url
        finally:
            process.send_signal(end)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer: {log.read_text()}")
