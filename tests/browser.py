"""A real browser for the page's tests: what it says on its console, and what it asks of other hosts, fails a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 45_000

expect.set_options(timeout=PATIENCE_MS)


def launch(playwright: Playwright) -> Browser:
    """The machine's own Chromium or Chrome. Without one the tests are skipped, or where CI is set they fail."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        sentence = f"No browser was found ({', '.join(NAMES)}), so the page is not tested."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return playwright.chromium.launch(executable_path=found, args=FLAGS)


class Visitor:
    """One browser with its own storage; watches all its tabs."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.complaints: list[str] = []

    def tab(self) -> Page:
        """A new tab with the page open and its form in order."""
        page = self.context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(self.url)
        is_ready(page)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location['url']})")

    def _asked(self, address: str) -> None:
        if not address.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"asked another host: {address}")


def is_ready(page: Page, tab: str = "t2i") -> None:
    """The page is drawn, its scripts run and the form of this tab, which is open, has been fitted to the model."""
    expect(page.locator(f"#{tab}_generate")).to_be_visible()
    expect(page.locator("#status .device")).not_to_be_empty()
    expect(page.locator(f"#{tab}_prompt .tokens")).not_to_be_empty()


@contextmanager
def visitor(browser: Browser, url: str, **options: Any) -> Iterator[Visitor]:
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    context.set_default_timeout(PATIENCE_MS)
    made = Visitor(context, url)
    yield made
    context.close()
    assert not made.complaints, "\n".join(made.complaints)


def prompt(page: Page, tab: str = "t2i") -> Locator:
    return page.locator(f"#{tab}_prompt textarea")


def number(page: Page, name: str, tab: str = "t2i") -> Locator:
    """The number field of a slider, or the seed."""
    return page.locator(f"#{tab}_{name} input[type=number]")
