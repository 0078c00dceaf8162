"""The ControlNet units of the page in a real browser."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page, expect

from backend.controlling import Control
from tests.browser import DESKTOP, PHONE, Visitor, number, visitor
from tests.conftest import Server
from tests.test_page_pictures import FITS, draw, has_size, newest
from ui.control_units import ControlUnits, asked_of, new_unit, unit_of, with_picture
from ui.form import NO_CONTROL_MODEL

pytest_plugins = ["tests.visiting"]

PASTE = """data => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(data), letter => letter.charCodeAt(0))], "pasted.png", { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
}"""
"""What a browser does when a picture is pasted that a person copied elsewhere."""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A dark circle on white, 120 x 80 pixels."""
    made = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(made).ellipse((40, 20, 80, 60), fill="#203060")
    path = tmp_path / "circle.png"
    made.save(path)
    return path


@pytest.fixture
def refused(guest: Visitor) -> Iterator[Visitor]:
    """A guest for whom the server may refuse something, which browsers write on their console."""
    yield guest
    guest.complaints = [said for said in guest.complaints if "422" not in said]


def unfold(page: Page, tab: str = "t2i") -> Locator:
    """The units of a tab, unfolded."""
    units = page.locator(f"#{tab}_controls .units")
    units.locator(".heading .unfold").click()
    expect(units.locator(".add")).to_be_visible()
    return units


def open_tab(page: Page) -> Locator:
    """The ControlNet tab's units."""
    page.get_by_role("tab", name="ControlNet").click()
    expect(page.locator("#cnt_prompt .tokens")).not_to_be_empty()
    return page.locator("#cnt_controls .units")


def add(units: Locator) -> Locator:
    before = units.locator("article").count()
    units.locator(".add").click()
    return units.locator("article").nth(before)


def read_map(page: Page, studio: Server, unit: Locator) -> np.ndarray:
    """Press Preview and wait for the map, as greys."""
    unit.get_by_role("button", name="Preview").click()
    expect(unit.locator(".map .box")).to_have_attribute("aria-busy", "false")
    expect(unit.locator(".map img")).to_be_visible()
    address = unit.locator(".map img").get_attribute("src")
    return np.asarray(Image.open(BytesIO(page.request.get(f"{studio.url}/{address}").body())).convert("L"))


def value(page: Page, tab: str = "t2i") -> list[dict[str, Any]]:
    return page.evaluate(f"JSON.parse(localStorage['atelier.form.{tab}']).controls")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_a_unit_reads_its_map_and_a_reload_keeps_it(browser: Browser, studio: Server, picture: Path, viewport: dict[str, int]) -> None:
    with visitor(browser, studio.url, viewport=viewport) as guest:
        page = guest.tab()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        units = unfold(page)
        assert page.evaluate(FITS)
        unit = add(units)
        expect(units.locator(".heading")).to_have_text("ControlNet · 1 unit")
        unit.locator(".choose").set_input_files(picture)
        expect(unit.locator(".shown img")).to_be_visible()
        unit.get_by_label("Control Type").select_option("Canny")
        expect(unit.get_by_label("Preprocessor", exact=True)).to_have_value("canny")
        lines = read_map(page, studio, unit)
        assert lines.shape == (128, 128)
        assert 0.01 < (lines > 127).mean() < 0.3

        unit.get_by_label("Low Threshold", exact=True).fill("90")
        expect(unit.locator(".map")).to_contain_text("Before the last change")
        unit.get_by_label("Control Weight", exact=True).fill("0.7")
        unit.get_by_label("Pixel Perfect").uncheck()
        unit.get_by_label("Preprocessor Resolution", exact=True).fill("256")
        unit.get_by_text("My prompt is more important").click()
        add(units)
        expect(units.locator(".heading")).to_have_text("ControlNet · 2 units")
        units.get_by_label("Enable unit 2").uncheck()
        expect(units.locator(".heading")).to_have_text("ControlNet · 1 unit")
        assert page.evaluate(FITS)
        assert [address for address in asked if address.endswith("internal/controls")] == [f"{studio.url}/internal/controls"]

        page.reload()
        expect(page.locator("#t2i_controls .heading")).to_have_text("ControlNet · 1 unit")
        units = unfold(page)
        expect(units.locator("article")).to_have_count(2)
        unit = units.locator("article").first
        unit.locator("header .unfold").click()
        expect(unit.locator(".shown img")).to_be_visible()
        expect(unit.get_by_label("Control Type")).to_have_value("Canny")
        expect(unit.get_by_label("Low Threshold", exact=True)).to_have_value("90")
        expect(unit.get_by_label("High Threshold", exact=True)).to_have_value("200")
        expect(unit.get_by_label("Control Weight", exact=True)).to_have_value("0.7")
        kept, idle = value(page)
        assert (kept["resolution"], kept["pixel_perfect"], kept["mode"]) == (256, False, "My prompt is more important")
        assert kept.keys() == {"enabled", *Control.model_fields} and not idle["enabled"]

        units.get_by_role("button", name="Remove unit 1").click()
        units.get_by_role("button", name="Remove unit 1").click()
        expect(units.locator("article")).to_have_count(0)
        expect(units.locator(".heading")).to_have_text("ControlNet")
        assert value(page) == []


def test_what_is_wrong_is_said_in_the_unit(refused: Visitor, studio: Server, picture: Path) -> None:
    page = refused.tab()
    units = unfold(page)
    idle, unit = add(units), add(units)
    units.get_by_label("Enable unit 1").uncheck()
    unit.get_by_role("button", name="Preview").click()
    expect(unit.locator(".of-map")).to_contain_text("picture")
    units.locator(".heading .unfold").click()

    page.locator("#t2i_generate").click()
    expect(unit.locator("[data-field=pictures] .problem")).to_have_text("Please choose a picture for this unit, or switch the unit off.")
    expect(unit.locator("[data-field=model] .problem")).to_have_text(NO_CONTROL_MODEL)
    expect(unit.get_by_label("Model", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(idle.locator(".problem")).to_have_count(0)
    expect(page.locator("#t2i_view .trouble")).to_contain_text("Please look at the marked fields")

    letter = picture.with_name("letter.png")
    letter.write_text("Dear picture")
    unit.locator(".choose").set_input_files(letter)
    expect(unit.locator(".of-picture")).to_contain_text("not a picture")

    units.get_by_label("Enable unit 2").uncheck()
    draw(page, "t2i")
    assert newest(studio)["controls"] == []
    expect(units.locator(".problem")).to_have_count(0)


def test_what_is_drawn_follows_the_unit_and_its_settings_come_back(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    unit = open_tab(page).locator("article").first
    unit.locator(".choose").set_input_files(picture)
    unit.get_by_label("Control Type").select_option("Canny")
    expect(unit.get_by_label("Model", exact=True)).to_have_value("Starter Canny")
    page.locator("#cnt_prompt textarea").fill("a red circle on a blue background")
    draw(page, "cnt")
    asked = newest(studio)["controls"][0]
    assert (asked["preprocessor"], asked["model"], asked["type"]) == ("canny", "Starter Canny", "Canny")
    expect(page.locator("#cnt_view .facts")).to_contain_text("ControlNet canny, Starter Canny")
    unit.get_by_label("Model", exact=True).select_option("")
    page.locator("#cnt_view").get_by_role("button", name="Reuse settings").click()
    expect(unit.get_by_label("Model", exact=True)).to_have_value("Starter Canny")
    assert value(page, "cnt")[0]["pictures"] == asked["pictures"]


def test_the_picture_of_the_tab_is_taken_where_a_unit_has_none(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    page.get_by_role("tab", name="img2img").click()
    page.locator("#i2i_image .choose-picture").set_input_files(picture)
    has_size(page, "i2i", 120, 80)
    unit = add(unfold(page, "i2i"))
    expect(unit.locator(".of-tab")).to_be_visible()
    unit.get_by_label("Control Type").select_option("Canny")
    assert (read_map(page, studio, unit) > 127).any()
    assert value(page, "i2i")[0]["pictures"] == []


def test_models_that_fit_are_offered_and_some_take_several_pictures(refused: Visitor, studio: Server, picture: Path) -> None:
    page = refused.tab()
    told = studio.get("internal/controls")
    rows = (("edges", "controlnet", "starter"), ("edges_xl", "controlnet", "sdxl"), ("faces", "ip-adapter", "starter"))
    told["models"] = [{"name": name, "kind": kind, "families": [family], "problem": ""} for name, kind, family in rows]
    told["types"]["Canny"] |= {"models": ["edges_xl", "edges"], "default_model": "edges_xl"}
    page.route("**/internal/controls", lambda route: route.fulfill(json=told))
    units = open_tab(page)
    unit = units.locator("article")
    model = unit.get_by_label("Model", exact=True)
    expect(model.locator("option")).to_have_text(["None", "edges", "faces", "edges_xl · for Stable Diffusion XL"])
    expect(model.locator("option").last).to_be_disabled()
    unit.get_by_label("Control Type").select_option("Canny")
    expect(model).to_have_value("edges")
    page.evaluate("document.querySelector('#cnt_ratios [data-family]').dataset.family = 'sdxl'")  # as if another model were chosen
    expect(unit.locator(".note.bad")).to_have_text("It is for Atelier starter, and the chosen model is Stable Diffusion XL.")
    page.evaluate("document.querySelector('#cnt_ratios [data-family]').dataset.family = 'starter'")
    expect(unit.locator(".note.bad")).to_be_hidden()

    data = base64.b64encode(picture.read_bytes()).decode()
    page.evaluate(PASTE, data)
    expect(unit.locator(".shown img")).to_have_count(1)
    unit.get_by_label("Control Type").select_option("All")
    model.select_option("faces")
    expect(unit.get_by_role("button", name="Preview")).to_be_hidden()
    expect(unit.get_by_label("Preprocessor", exact=True)).to_be_hidden()
    unit.locator(".choose").set_input_files(picture)
    expect(unit.locator(".shown img")).to_have_count(2)
    unit.get_by_role("button", name="Take picture 2 away").click()
    expect(unit.locator(".shown img")).to_have_count(1)

    unit.get_by_label("Ending Control Step", exact=True).fill("0")
    unit.locator("header .unfold").click()
    expect(model).to_be_hidden()
    page.locator("#cnt_generate").click()
    expect(unit.locator("[data-field=end] .problem")).to_contain_text("Let it end later than it begins.")


def test_a_map_is_drawn_by_hand(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    units = open_tab(page)
    number(page, "width", "cnt").fill("160")
    unit = units.locator("article")
    unit.get_by_role("button", name="Draw a map").click()
    drawing = units.locator(".drawing")
    expect(drawing.locator(".pixels")).to_have_text("160 × 128")
    drawing.get_by_role("button", name="Use this drawing").click()
    expect(drawing.locator(".said")).to_contain_text("Nothing is drawn yet.")
    box = drawing.locator(".stage .picture").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    drawing.get_by_role("button", name="Use this drawing").click()
    expect(drawing).to_be_hidden()
    expect(unit.locator(".shown img")).to_be_visible()
    (kept,) = value(page, "cnt")
    assert kept["preprocessor"] == "none"
    drawn = np.asarray(Image.open(BytesIO(page.request.get(f"{studio.url}/internal/inputs/{kept['pictures'][0]}.png").body())))
    assert drawn.shape == (128, 160)
    assert set(np.unique(drawn)) == {0, 255}
    assert drawn[64, 80] == 255 and drawn[20, 80] == 0
    page.reload()
    expect(page.locator("#cnt_controls .shown img")).to_have_attribute("src", f"internal/inputs/{kept['pictures'][0]}.png")


def test_a_result_is_sent_to_the_first_unit(guest: Visitor) -> None:
    page = guest.tab()
    draw(page, "t2i", width=96, height=64)
    page.locator("#t2i_view").get_by_role("button", name="Send to ControlNet").click()
    units = page.locator("#cnt_controls .units")
    expect(units.locator(".shown img")).to_be_visible()
    has_size(page, "cnt", 96, 64)
    first = value(page, "cnt")[0]["pictures"]
    assert len(first) == 1
    expect(units.locator("article")).to_have_count(1)

    page.get_by_role("tab", name="txt2img").click()
    draw(page, "t2i", width=64, height=64)
    page.locator("#t2i_view").get_by_role("button", name="Send to ControlNet").click()
    has_size(page, "cnt", 64, 64)
    page.wait_for_function(f"JSON.parse(localStorage['atelier.form.cnt']).controls[0].pictures[0] != '{first[0]}'")
    expect(units.locator("article")).to_have_count(1)


def test_what_goes_into_a_request() -> None:
    control = Control(pictures=("a" * 64,), model="canny", weight=0.5)
    unit = unit_of(control)
    assert unit == {"enabled": True, **control.model_dump(mode="json")}
    assert ControlUnits("t2i").postprocess((control,)) == [unit]
    assert [Control.model_validate(fields) for fields in asked_of([{**unit, "enabled": False}, unit])] == [control]


def test_where_a_sent_picture_goes() -> None:
    full, empty = new_unit(pictures=("a" * 64,)), {**new_unit(), "enabled": False}
    picture = "b" * 64
    assert [unit["pictures"] for unit in with_picture([full, empty], picture)] == [["a" * 64], [picture]]
    assert [unit["enabled"] for unit in with_picture([full, empty], picture)] == [True, True]
    assert [unit["pictures"] for unit in with_picture([full, full], picture)] == [[picture], ["a" * 64]]
    assert [unit["pictures"] for unit in with_picture([], picture)] == [[picture]]
