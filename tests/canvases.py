"""What the tests of the canvas share: a page with canvases alone, and a hand that paints on one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks.mask_round_trip import CanvasPage, canvas_page
from tests.browser import DESKTOP, PATIENCE_MS, PHONE
from tests.conftest import wait_until

WIDTH, HEIGHT = 320, 240
RADIUS = 20
"""Half of the brush's first size."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanvasPage]:
    with canvas_page(tmp_path_factory.mktemp("canvas")) as page:
        yield page


@pytest.fixture
def site(served: CanvasPage) -> CanvasPage:
    served.received.clear()
    served.events.clear()
    return served


def picture_file(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    shades = Image.linear_gradient("L").resize((width, height))
    return png(Image.merge("RGB", (shades, shades.transpose(Image.Transpose.FLIP_LEFT_RIGHT), shades)))


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Canvas:
    """One canvas on one page, used as a person uses it."""

    def __init__(self, page: Page, site: CanvasPage, name: str = "mask") -> None:
        self.page, self.site, self.name = page, site, name
        self.root = page.locator(f"#{name} .canvas")
        self.stage = self.root.locator(".stage")
        self.picture = self.root.locator("img.picture")

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def open(self, data: bytes, kind: str = "picture", name: str = "file.png") -> None:
        self.root.locator(f".choose-{kind}").set_input_files({"name": name, "mimeType": "", "buffer": data})

    def with_picture(self, width: int = WIDTH, height: int = HEIGHT) -> Canvas:
        """Opened and at 100 %, where a pixel of the picture is one of the screen."""
        self.open(picture_file(width, height))
        expect(self.root.locator(".pixels")).to_have_text(f"{width} × {height}")
        if max(width, height) < 400:
            self.stage.hover()
            self.page.keyboard.press("1")
            expect(self.root.locator(".zoom")).to_have_text("100 %")
        return self

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the picture is on the screen."""
        box = self.picture.bounding_box()
        assert box
        width, height = self.page.evaluate(f"[atelier.canvases.{self.name}.state.picture].flatMap(p => [p.width, p.height])")
        return box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height

    def drag(self, *points: tuple[float, float], steps: int = 4) -> None:
        places = [self.at(*point) for point in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=steps)
        self.page.mouse.up()

    def generate(self) -> Any:
        """What the handler of Generate received."""
        before = len(self.site.received)
        self.page.locator("#go" if self.name == "mask" else "#go_photo").click()
        while len(self.site.received) == before:  # what the browser tells of its requests comes in only while it is waited for
            self.page.wait_for_timeout(20)
        return self.site.received[-1]

    def mask(self) -> np.ndarray:
        painted = self.generate()
        assert painted.mask is not None
        kept = self.site.inputs.open(painted.mask)
        assert kept.mode == "L"
        return np.asarray(kept)

    def mask_name(self) -> str | None:
        """The name is made of the pixels, so that the same name means the same mask."""
        return self.page.evaluate(f"atelier.canvases.{self.name}.ready()")["mask"]


@pytest.fixture
def page(browser: Browser, site: CanvasPage) -> Iterator[Page]:
    yield from a_page(browser, site, viewport=DESKTOP)


@pytest.fixture
def phone(browser: Browser, site: CanvasPage) -> Iterator[Page]:
    yield from a_page(browser, site, viewport=PHONE, has_touch=True, is_mobile=True)


def a_page(browser: Browser, site: CanvasPage, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith((site.url, "data:", "blob:")) else None)
    made.goto(site.url)
    expect(made.locator("#mask .canvas .empty")).to_be_visible()
    wait_until(lambda: made.evaluate("Boolean(atelier.canvases.mask)"), 30)
    yield made
    context.close()
    assert not faults, faults


@pytest.fixture
def canvas(page: Page, site: CanvasPage) -> Canvas:
    return Canvas(page, site).with_picture()


def resize(page: Page, size: dict[str, int]) -> None:
    page.set_viewport_size({"width": size["width"], "height": size["height"]})


def distances(ax: float, ay: float, bx: float, by: float, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """From each pixel's centre to the line between two points."""
    ys, xs = np.mgrid[0:height, 0:width] + 0.5
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = np.clip(((xs - ax) * (bx - ax) + (ys - ay) * (by - ay)) / length, 0, 1) if length else np.zeros_like(xs)
    return np.hypot(xs - (ax + along * (bx - ax)), ys - (ay + along * (by - ay)))


def expected(covered: np.ndarray, value: int = 255) -> np.ndarray:
    return np.where(covered, value, 0).astype(np.uint8)
