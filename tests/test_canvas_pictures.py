"""The canvas in a real browser: pictures, masks and borders that come to it, and what happens to them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from backend.inputs import Input
from backend.painting import Borders
from benchmarks.mask_round_trip import CanvasPage
from tests.browser import DESKTOP, PHONE
from tests.canvases import HEIGHT, RADIUS, WIDTH, Canvas, distances, expected, picture_file, png, resize

pytest_plugins = ["tests.visiting", "tests.canvases"]


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
