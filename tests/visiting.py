"""What the tests of the page share: a browser, and a visitor of a server that has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser import Visitor, launch, visitor
from tests.conftest import Server, wait_until


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    running = launch(playwright)
    yield running
    running.close()


@pytest.fixture
def studio(server: Server) -> Iterator[Server]:
    """The server with nothing left to do, before the test and after it."""

    def idle() -> bool:
        status = server.get("internal/status")
        if status["running"]:
            server.post(f"internal/job/{status['running']}/stop")
        return status["worker"]["state"] == "ready" and not status["running"] and not status["waiting"]

    wait_until(idle)
    yield server
    wait_until(idle)


@pytest.fixture
def guest(browser: Browser, studio: Server) -> Iterator[Visitor]:
    with visitor(browser, studio.url) as made:
        yield made
