"""The canvas in a real browser: what is painted on it is the mask that the server gets, to the pixel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from backend.inputs import Input
from backend.painting import Borders
from benchmarks.mask_round_trip import CanvasPage, canvas_page
from tests.browser import DESKTOP, PATIENCE_MS, PHONE
from tests.conftest import wait_until

pytest_plugins = ["tests.visiting"]

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


def test_a_stroke_becomes_exactly_the_pixels_under_it(canvas: Canvas, site: CanvasPage) -> None:
    canvas.drag((60, 60), (200, 60))
    painted = canvas.generate()
    assert painted.grow == Borders()
    assert site.inputs.open(painted.image).tobytes() == Image.open(io.BytesIO(picture_file())).tobytes()
    assert np.array_equal(canvas.mask(), expected(distances(60, 60, 200, 60) <= RADIUS))
    wait_until(lambda: site.events, 30)
    assert site.events[0].image == painted.image and site.events[0].mask is None


def test_a_slanting_stroke_is_exact_too(canvas: Canvas) -> None:
    canvas.drag((50, 50), (250, 170), steps=1)
    distance = distances(50, 50, 250, 170)
    clear = np.abs(distance - RADIUS) > 1e-9
    assert np.array_equal(canvas.mask()[clear], expected(distance <= RADIUS)[clear])


def test_nothing_painted_is_no_mask(canvas: Canvas, page: Page) -> None:
    assert canvas.generate().mask is None
    canvas.drag((60, 60), (90, 60))
    assert canvas.generate().mask is not None
    canvas.stage.hover()
    page.keyboard.press("Control+z")
    assert canvas.generate().mask is None
    canvas.button("Take the picture away").click()
    expect(canvas.root.locator(".empty")).to_be_visible()
    assert canvas.generate().image is None


def test_the_eraser_and_shift_take_away(canvas: Canvas, page: Page) -> None:
    canvas.button("Rectangle").click()
    canvas.drag((10, 10), (299, 199))
    canvas.button("Eraser").click()
    canvas.drag((100, 100), (150, 100))
    whole = np.zeros((HEIGHT, WIDTH), bool)
    whole[10:200, 10:300] = True
    assert np.array_equal(canvas.mask(), expected(whole & ~(distances(100, 100, 150, 100) <= RADIUS)))
    canvas.button("Brush").click()
    page.keyboard.down("Shift")
    canvas.drag((240, 100), (240, 100))
    page.keyboard.up("Shift")
    holes = (distances(100, 100, 150, 100) <= RADIUS) | (distances(240, 100, 240, 100) <= RADIUS)
    assert np.array_equal(canvas.mask(), expected(whole & ~holes))


def test_a_weaker_brush_paints_one_even_grey(canvas: Canvas) -> None:
    canvas.root.locator(".strength").fill("40")
    canvas.drag((60, 60), (200, 60), (60, 60), steps=9)
    assert np.array_equal(canvas.mask(), expected(distances(60, 60, 200, 60) <= RADIUS, 102))


def test_lasso_fill_and_invert(canvas: Canvas) -> None:
    canvas.button("Lasso").click()
    canvas.drag((100, 50), (200, 50), (200, 150), (100, 150), (100, 50), steps=3)
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[50:150, 100:200] = True
    assert np.array_equal(canvas.mask(), expected(square))
    canvas.button("Invert the mask").click()
    assert np.array_equal(canvas.mask(), expected(~square))
    canvas.button("Clear the mask").click()
    canvas.button("Rectangle").click()
    canvas.drag((0, 100), (319, 119))
    canvas.button("Fill").click()
    canvas.page.mouse.click(*canvas.at(10, 10))
    above = np.zeros((HEIGHT, WIDTH), bool)
    above[:120] = True
    assert np.array_equal(canvas.mask(), expected(above)), "the fill stops at the mask"


def test_thirty_steps_back_and_forth_give_the_same_masks(canvas: Canvas, page: Page) -> None:
    names = [canvas.mask_name()]
    for step in range(30):
        if step == 29:
            page.keyboard.press("i")
        else:
            canvas.drag((20 + 9 * step, 30), (20 + 9 * step, 30 + 6 * step), steps=1)
        names.append(canvas.mask_name())
    assert len(set(names)) == 31
    for name in reversed(names[:-1]):
        page.keyboard.press("Control+z")
        assert canvas.mask_name() == name
    expect(canvas.button("Undo")).to_be_disabled()
    for number, name in enumerate(names[1:]):
        page.keyboard.press("Control+Shift+z" if number % 2 else "Control+y")
        assert canvas.mask_name() == name
    expect(canvas.button("Redo")).to_be_disabled()


def test_drawing_in_an_enlarged_view_lands_on_the_right_pixels(canvas: Canvas, page: Page) -> None:
    page.mouse.move(*canvas.at(200, 60))
    under = canvas.at(200, 60)
    page.mouse.wheel(0, -1200)
    wait_until(lambda: (canvas.picture.bounding_box() or {"width": 0})["width"] > 5 * WIDTH, 30)
    assert np.allclose(canvas.at(200, 60), under, atol=1.5), "what is under the pointer stays there"
    page.evaluate("atelier.canvases.mask.tools.resize(9)")
    canvas.drag((190, 55), (210, 62), steps=6)
    distance = distances(190, 55, 210, 62)
    mask = canvas.mask()
    assert mask[distance < 4.5 - 0.2].min() == 255 and mask[distance > 4.5 + 0.2].max() == 0
    page.keyboard.press("0")
    expect(canvas.root.locator(".zoom")).not_to_have_text("100 %")


def test_space_and_the_middle_button_move_the_view_and_paint_nothing(canvas: Canvas, page: Page) -> None:
    before = canvas.at(0, 0)
    page.mouse.move(*canvas.at(100, 100))
    page.mouse.down(button="middle")
    page.mouse.move(*canvas.at(130, 90))
    page.mouse.up(button="middle")
    page.keyboard.down("Space")
    canvas.drag((100, 100), (110, 120), steps=1)
    page.keyboard.up("Space")
    assert np.allclose(canvas.at(0, 0), (before[0] + 40, before[1] + 10), atol=0.01)
    assert canvas.generate().mask is None


def test_fingers_paint_and_two_of_them_enlarge(phone: Page, site: CanvasPage) -> None:
    canvas = Canvas(phone, site).with_picture()
    canvas.button("Fit the view").click()
    touch = phone.context.new_cdp_session(phone)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})  # type: ignore[arg-type]

    fingers("touchStart", canvas.at(60, 60))
    fingers("touchMove", canvas.at(120, 60))
    fingers("touchMove", canvas.at(200, 60))
    fingers("touchEnd")
    mask = canvas.mask()
    distance = distances(60, 60, 200, 60)
    assert mask[distance < RADIUS - 2].min() == 255 and mask[distance > RADIUS + 2].max() == 0

    wide = (canvas.picture.bounding_box() or {"width": 0})["width"]
    one, two = canvas.at(120, 100), canvas.at(200, 100)
    fingers("touchStart", one)
    fingers("touchStart", one, two)
    fingers("touchMove", (one[0] - 40, one[1]), (two[0] + 40, two[1]))
    fingers("touchEnd")
    assert (canvas.picture.bounding_box() or {"width": 0})["width"] > 1.5 * wide
    assert np.array_equal(canvas.mask(), mask), "the first finger's dot was taken back"
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = [box for button in canvas.root.locator(".bar button").all() if (box := button.bounding_box())]
    assert sizes and min(min(box["width"], box["height"]) for box in sizes) >= 36


def test_a_large_picture_keeps_its_size(page: Page, site: CanvasPage) -> None:
    canvas = Canvas(page, site).with_picture(4096, 4096)
    canvas.drag((1000, 1000), (3000, 1000))
    mask = canvas.mask()
    assert mask.shape == (4096, 4096) and set(np.unique(mask)) == {0, 255}
    assert mask[1000, 2000] == 255 and mask[1000, 900] == 0 and mask[1100, 2000] == 0


def test_a_mask_file_is_taken_exactly_or_fitted_or_refused(canvas: Canvas) -> None:
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[30:90, 40:200] = np.arange(160)
    canvas.open(png(Image.fromarray(values)), "mask")
    expect(canvas.button("Undo")).to_be_enabled()
    assert np.array_equal(canvas.mask(), values)
    said = canvas.root.locator(".said")
    canvas.open(png(Image.new("L", (100, 100), 255)), "mask")
    expect(said).to_contain_text("The mask has 100 × 100 pixels and the picture 320 × 240, which is another shape")
    assert np.array_equal(canvas.mask(), values), "what was there stays"
    half = Image.new("L", (160, 120))
    half.paste(255, (0, 0, 80, 120))
    canvas.open(png(half), "mask")
    expect(said).to_contain_text("it was fitted")
    mask = canvas.mask()
    assert mask.shape == (HEIGHT, WIDTH) and mask[:, :158].min() == 255 and mask[:, 162:].max() == 0


def test_a_file_that_is_no_picture_is_refused_and_nothing_is_lost(canvas: Canvas) -> None:
    canvas.drag((60, 60), (200, 60))
    before = canvas.generate()
    canvas.open(b"not a picture at all", name="notes.txt")
    expect(canvas.root.locator(".said")).to_contain_text("This file is not a picture that can be read.")
    assert canvas.generate() == before
    canvas.button("Close").click()
    expect(canvas.root.locator(".said")).to_be_hidden()


def test_a_mask_that_cannot_be_handed_over_is_not_lost(canvas: Canvas, page: Page, site: CanvasPage) -> None:
    canvas.drag((60, 60), (200, 60))
    page.route("**/internal/inputs?mask=true", lambda route: route.fulfill(status=507, json={"detail": "There is no room on the disk."}))
    page.locator("#go").click()
    expect(canvas.root.locator(".said")).to_contain_text("There is no room on the disk.")
    expect(page.locator(".toast-body")).to_contain_text("There is no room on the disk.")
    assert not site.received, "nothing is generated without the mask"
    page.unroute("**/internal/inputs?mask=true")
    assert canvas.generate().mask is not None


def test_tabs_and_the_windows_size_leave_the_mask_alone(canvas: Canvas, page: Page) -> None:
    canvas.drag((60, 60), (200, 60))
    page.get_by_role("tab", name="Photo").click()
    expect(canvas.root).to_be_hidden()
    resize(page, PHONE)
    page.get_by_role("tab", name="Inpaint").click()
    expect(canvas.root).to_be_visible()
    resize(page, DESKTOP)
    canvas.button("Fit the view").click()
    page.keyboard.press("1")
    canvas.drag((60, 160), (200, 160))
    both = (distances(60, 60, 200, 60) <= RADIUS) | (distances(60, 160, 200, 160) <= RADIUS)
    assert np.array_equal(canvas.mask(), expected(both))


def test_a_canvas_that_is_drawn_anew_shows_what_it_held(canvas: Canvas, page: Page) -> None:
    canvas.drag((60, 60), (200, 60))
    page.evaluate("""() => {
      const old = document.querySelector("#mask .canvas");
      const fresh = old.cloneNode(true);
      const { props, trigger } = atelier.canvases.mask;
      old.replaceWith(fresh);
      atelier.openCanvas(fresh.parentElement, props, () => {}, trigger);
    }""")
    canvas.drag((60, 160), (200, 160))
    both = (distances(60, 60, 200, 60) <= RADIUS) | (distances(60, 160, 200, 160) <= RADIUS)
    assert np.array_equal(canvas.mask(), expected(both))


def test_handles_extend_the_picture(canvas: Canvas, page: Page) -> None:
    handle = canvas.root.locator(".handle[data-side=right]")
    expect(handle).to_be_hidden()
    canvas.button("Extend the picture").click()
    box = handle.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 101, y, steps=3)
    page.mouse.up()
    expect(canvas.root.locator(".pixels")).to_have_text("320 × 240 + 104 right")
    assert canvas.generate().grow == Borders(right=104)
    page.evaluate("atelier.canvases.mask.setGrow({ top: 5000, left: 15 })")
    assert canvas.generate().grow == Borders(left=16, top=1024, right=104)
    handle.dblclick()
    canvas.root.locator(".handle[data-side=left]").press("ArrowLeft")
    assert canvas.generate().grow == Borders(left=24, top=1024)


def test_the_mask_travels_once_and_only_when_it_is_needed(canvas: Canvas, page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.url.endswith("inputs?mask=true") else None)
    canvas.drag((60, 60), (200, 60))
    canvas.drag((60, 90), (200, 90))
    assert not sent
    first = canvas.generate()
    assert canvas.generate() == first and len(sent) == 1
    canvas.stage.hover()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    assert canvas.generate() == first and len(sent) == 1, "it is the same mask again"
    canvas.drag((60, 120), (200, 120))
    assert canvas.generate() != first and len(sent) == 2


def test_python_can_show_a_picture_with_its_mask(page: Page, site: CanvasPage) -> None:
    from ui.canvas import shown

    picture = site.inputs.take(picture_file(64, 48))
    mask = site.inputs.take_mask(png(Image.linear_gradient("L").resize((64, 48))))
    canvas = Canvas(page, site)
    site.to_show = shown(picture, mask, Borders(top=8))
    page.locator("#show").click()
    expect(canvas.root.locator(".pixels")).to_have_text("64 × 48 + 8 top")
    painted = canvas.generate()
    assert (painted.image, painted.mask, painted.grow) == (picture.id, mask.id, Borders(top=8))
    page.keyboard.press("Escape")
    canvas.drag((10, 10), (20, 10))
    assert canvas.generate().mask not in (None, mask.id)
    site.to_show = shown(picture)
    page.locator("#show").click()
    expect(canvas.button("Undo")).to_be_disabled()
    assert canvas.generate().mask is None
    site.to_show = shown(None)
    page.locator("#show").click()
    expect(canvas.root.locator(".empty")).to_be_visible()
    assert not site.events, "only what is done in the page is told"


def test_a_jobs_picture_is_sent_to_a_tab_that_was_never_opened(page: Page, site: CanvasPage) -> None:
    site.results["a-job"] = picture_file(80, 64)
    assert page.evaluate("atelier.sendTo('photo', { job: 'a-job', index: 0 })") is True
    page.get_by_role("tab", name="Photo").click()
    photo = Canvas(page, site, "photo")
    expect(photo.root.locator(".pixels")).to_have_text("80 × 64")
    expect(photo.button("Brush")).to_be_hidden()
    painted = photo.generate()
    assert site.inputs.size(painted.image) == (80, 64) and painted.mask is None
    assert page.evaluate("atelier.sendTo('photo', { job: 'gone', index: 0 })") is False
    expect(photo.root.locator(".said")).to_contain_text("This job is no longer known.")
    assert photo.generate() == painted


def test_python_shows_a_picture_on_a_tab_that_was_never_opened(page: Page, site: CanvasPage) -> None:
    from ui.canvas import shown

    picture = site.inputs.take(picture_file(72, 56))
    site.to_show = shown(picture)
    page.locator("#show_photo").click()
    photo = Canvas(page, site, "photo")
    page.get_by_role("tab", name="Photo").click()
    expect(photo.root.locator(".pixels")).to_have_text("72 × 56")
    assert photo.generate().image == picture.id


FILE_EVENT = """([target, name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "picture.png", { type: "image/png" }));
  const data = name === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
  const event = name === "paste" ? new ClipboardEvent(name, { ...data, bubbles: true }) : new DragEvent(name, { ...data, bubbles: true });
  (document.querySelector(target) ?? document.body).dispatchEvent(event);
}"""


def test_pictures_are_dropped_and_pasted_where_they_are_meant(page: Page, site: CanvasPage) -> None:
    mask, photo = Canvas(page, site), Canvas(page, site, "photo")
    page.evaluate(FILE_EVENT, ["#mask .stage", "drop", list(picture_file(64, 48))])
    expect(mask.root.locator(".pixels")).to_have_text("64 × 48")
    page.get_by_role("tab", name="Photo").click()
    expect(photo.root).to_be_visible()
    page.evaluate(FILE_EVENT, ["body", "paste", list(picture_file(72, 40))])
    expect(photo.root.locator(".pixels")).to_have_text("72 × 40")
    expect(mask.root.locator(".pixels")).to_have_text("64 × 48")
    words = page.locator("#words textarea, #words input").first
    words.focus()
    page.evaluate(FILE_EVENT, ["#words", "paste", list(picture_file(40, 40))])
    assert photo.generate().image and site.inputs.size(site.received[-1].image) == (72, 40)


def test_keys_act_on_the_canvas_only_while_it_is_meant(canvas: Canvas, page: Page) -> None:
    brush, eraser = canvas.button("Brush"), canvas.button("Eraser")
    canvas.stage.hover()
    page.keyboard.press("e")
    expect(eraser).to_have_attribute("aria-pressed", "true")
    size = canvas.root.locator(".size + output")
    page.keyboard.press("]")
    expect(size).to_have_text("46 px")
    page.keyboard.down("Control")
    page.mouse.wheel(0, 100)
    page.keyboard.up("Control")
    expect(size).to_have_text("41 px")
    expect(canvas.root.locator(".zoom")).to_have_text("100 %")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<input id=typed>')")
    page.locator("#typed").focus()
    page.keyboard.press("b")
    expect(page.locator("#typed")).to_have_value("b")
    expect(brush).to_have_attribute("aria-pressed", "false")
    page.locator("#go").hover()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("b")
    expect(brush).to_have_attribute("aria-pressed", "false")


def test_the_mask_can_be_saved_and_its_soft_edge_seen(canvas: Canvas, page: Page) -> None:
    canvas.drag((60, 60), (200, 60))
    with page.expect_download() as saving:
        canvas.button("Save the mask").click()
    kept = np.asarray(Image.open(Path(saving.value.path())))
    assert np.array_equal(kept, expected(distances(60, 60, 200, 60) <= RADIUS))
    opacities = """() => {
      const layer = document.querySelector("#mask .layer");
      const { view } = atelier.canvases.mask.state;
      return [...layer.getContext("2d").getImageData(view.x + 130, view.y, 1, 240).data].filter((_, at) => at % 4 === 3);
    }"""
    wait_until(lambda: max(page.evaluate(opacities)) > 0, 30)
    hard = page.evaluate(opacities)
    assert hard[60] == 140 and hard[39] == 0 and hard[40] == 255, "filled, with a thin outline"
    canvas.button("Show the soft edge").click()
    wait_until(lambda: page.evaluate(opacities) != hard, 30)
    soft = page.evaluate(opacities)
    assert soft[60] == 140 and 0 < soft[36] < soft[44] < 140 and soft[10] == 0
    assert canvas.mask().tobytes() == kept.tobytes(), "it is a way to look at the mask only"


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "sent",
    ["text", 5, [1], {"image": "../../etc/passwd"}, {"image": 7}, {"image": "a" * 64, "mask": ["b"]}, {"image": "a" * 64, "grow": {"left": -8}},
     {"image": "a" * 64, "grow": {"left": "x"}}, {"image": "a" * 64, "grow": {"middle": 8}}, {"image": "a" * 64, "grow": 3}],
)  # fmt: skip
def test_what_the_page_never_sends_is_refused_with_a_sentence(sent: object) -> None:
    import gradio as gr

    from ui.canvas import MaskCanvas

    with pytest.raises(gr.Error, match="Please reload the page"):
        MaskCanvas(elem_id="x", label="x", render=False).preprocess(sent)


@pytest.mark.usefixtures("served")
def test_values_become_what_is_painted() -> None:
    from ui.canvas import MaskCanvas, Painted, shown

    canvas = MaskCanvas(elem_id="x", label="x", render=False)
    one, two = "a" * 64, "b" * 64
    assert canvas.preprocess(None) == Painted() == canvas.preprocess({"image": None, "mask": two, "grow": {"left": 8}})
    value = {"image": one, "mask": two, "grow": {"left": 8, "top": 0, "right": 0, "bottom": 16}}
    assert canvas.preprocess(value) == Painted(one, two, Borders(left=8, bottom=16))
    assert canvas.preprocess(shown(Input(one, 8, 8), Input(two, 8, 8))) == Painted(one, two, Borders()), "a tab that nobody opened yet"
