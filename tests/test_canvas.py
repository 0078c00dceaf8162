"""The canvas in a real browser: what is painted on it is the mask that the server gets, to the pixel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from backend.painting import Borders
from benchmarks.mask_round_trip import CanvasPage
from tests.browser import PHONE
from tests.canvases import HEIGHT, RADIUS, WIDTH, Canvas, distances, expected, picture_file
from tests.conftest import wait_until

pytest_plugins = ["tests.visiting", "tests.canvases"]


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


def pen(canvas: Canvas, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A pen that is put down, drawn across and lifted."""
    wire = canvas.page.context.new_cdp_session(canvas.page)
    shared = {"pointerType": "pen", "button": "left", "clickCount": 1}
    for kind, place, buttons in (("mousePressed", start, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)):
        x, y = canvas.at(*place)
        wire.send("Input.dispatchMouseEvent", {**shared, "type": kind, "x": x, "y": y, "buttons": buttons, "force": 0.5})


TURNED_ROUND = """
    for (const name of ["pointerdown", "pointermove"]) addEventListener(name, (event) => {
        (window.kinds ??= new Set()).add(event.pointerType);
        Object.defineProperty(event, "buttons", { value: 32 });
        if (name === "pointerdown") Object.defineProperty(event, "button", { value: 5 });
    }, { capture: true });
"""
"""What a pen's other end tells (Pointer Events, section 4.1.3); the browser's own protocol knows no button for it."""


def test_a_pen_paints_and_its_other_end_takes_away(canvas: Canvas, page: Page) -> None:
    pen(canvas, (60, 60), (200, 60))
    painted = expected(distances(60, 60, 200, 60) <= RADIUS)
    assert np.array_equal(canvas.mask(), painted)
    page.evaluate(TURNED_ROUND)
    pen(canvas, (120, 60), (120, 100))
    assert page.evaluate("[...window.kinds]") == ["pen"]
    painted[distances(120, 60, 120, 100) <= RADIUS] = 0
    assert np.array_equal(canvas.mask(), painted)


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


def test_a_mask_that_cannot_be_handed_over_is_not_lost(canvas: Canvas, page: Page, site: CanvasPage) -> None:
    canvas.drag((60, 60), (200, 60))
    page.route("**/internal/inputs?mask=true", lambda route: route.fulfill(status=507, json={"detail": "There is no room on the disk."}))
    page.locator("#go").click()
    expect(canvas.root.locator(".said")).to_contain_text("There is no room on the disk.")
    expect(page.locator(".toast-body")).to_contain_text("There is no room on the disk.")
    assert not site.received, "nothing is generated without the mask"
    page.unroute("**/internal/inputs?mask=true")
    assert canvas.generate().mask is not None


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
