"""Pictures going in through the page, in a real browser: img2img, inpaint, hires fix, and sending from tab to tab."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import DESKTOP, PHONE, Visitor, is_ready, number, prompt, visitor
from tests.conftest import Server
from ui.hires import from_to
from ui.naming import nested
from ui.sizes import usable

pytest_plugins = ["tests.visiting"]

RED_ON_BLUE = "a red circle on a blue background"
SEEDS = itertools.count(500_000, 100)
TABS = {"t2i": "txt2img", "i2i": "img2img", "inp": "Inpaint"}
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 150 x 100 pixels, red at the left and green at the right."""
    made = Image.new("RGB", (150, 100), "red")
    made.paste("green", (75, 0, 150, 100))
    path = tmp_path / "picture.png"
    made.save(path)
    return path


def open_tab(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=TABS[tab]).click()
    expect(page.locator(f"#{tab}_prompt .tokens")).not_to_be_empty()


def open_picture(page: Page, tab: str, path: Path) -> None:
    page.locator(f"#{tab}_image .choose-picture").set_input_files(path)


def has_size(page: Page, tab: str, width: int, height: int) -> None:
    expect(number(page, "width", tab)).to_have_value(str(width))
    expect(number(page, "height", tab)).to_have_value(str(height))


def draw(page: Page, tab: str, **numbers: float) -> int:
    """Fill the form, press Generate and wait for the picture. Returns its seed, which no other job of the tests has."""
    seed = next(SEEDS)
    prompt(page, tab).fill(RED_ON_BLUE)
    for name, value in {"steps": 3, "seed": seed, **numbers}.items():
        number(page, name, tab).fill(str(value))
    page.locator(f"#{tab}_generate").click()
    is_drawn(page, tab, seed)
    return seed


def is_drawn(page: Page, tab: str, seed: int) -> None:
    expect(page.locator(f"#{tab}_view .facts")).to_contain_text(f"Seed {seed}")
    expect(page.locator(f"#{tab}_view .about")).to_be_visible()
    expect(page.locator(f"#{tab}_view .progress")).to_be_hidden()


def newest(studio: Server) -> dict[str, Any]:
    """The request of the newest job, as the server has it."""
    return studio.get(f"internal/job/{studio.get('internal/jobs/newest')['job']}")["request"]


def stroke(page: Page) -> None:
    """A line through the middle of the picture."""
    box = page.locator("#inp_image .picture").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 30, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=4)
    page.mouse.up()


def test_a_result_goes_to_img2img_with_its_settings(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    page.locator("#t2i_negative textarea").fill("green")
    seed = draw(page, "t2i", width=96, height=64, steps=4, guidance=6.5)
    address = page.locator("#t2i_view .picture").get_attribute("src")
    page.get_by_role("button", name="Send to img2img").click()
    expect(page.locator("#i2i_image .canvas")).to_have_attribute("data-mode", "picture")
    has_size(page, "i2i", 96, 64)
    expect(prompt(page, "i2i")).to_have_value(RED_ON_BLUE)
    expect(page.locator("#i2i_negative textarea")).to_have_value("green")
    for name, value in {"steps": "4", "seed": str(seed), "guidance": "6.5"}.items():
        expect(number(page, name, "i2i")).to_have_value(value)

    second = draw(page, "i2i")
    request = newest(studio)
    assert (request["seed"], request["negative_prompt"], request["width"], request["height"]) == (second, "green", 96, 64)
    assert request["image"]["denoising_strength"] == 0.75
    sent = page.request.get(f"{studio.url}/internal/inputs/{request['image']['picture']}.png").body()
    drawn = page.request.get(f"{studio.url}/{address}").body()
    assert Image.open(BytesIO(sent)).convert("RGB").tobytes() == Image.open(BytesIO(drawn)).convert("RGB").tobytes()
    expect(page.locator("#i2i_view .facts")).to_contain_text("Strength 0.75")


def test_sizes_follow_the_picture_and_a_bad_file_is_said(guest: Visitor, picture: Path, tmp_path: Path) -> None:
    page = guest.tab()
    open_tab(page, "i2i")
    open_picture(page, "i2i", picture)
    has_size(page, "i2i", 150, 100)
    number(page, "resize_by", "i2i").fill("1.5")
    has_size(page, "i2i", 225, 150)
    expect(page.locator("#i2i_sizes")).to_have_text("from 150 × 100 to 225 × 150")

    letter = tmp_path / "letter.png"
    letter.write_text("Dear picture")
    open_picture(page, "i2i", letter)
    expect(page.locator("#i2i_image .said")).to_contain_text("not a picture")
    has_size(page, "i2i", 225, 150)
    expect(page.locator("#i2i_image .canvas")).to_have_attribute("data-mode", "picture")
    guest.complaints = [said for said in guest.complaints if "422" not in said]


def test_errors_stand_at_their_fields(guest: Visitor, picture: Path) -> None:
    page = guest.tab()
    open_tab(page, "i2i")
    page.locator("#i2i_generate").click()
    expect(page.locator("#i2i_image .problem")).to_have_text("Please choose a picture to start from.")
    open_picture(page, "i2i", picture)
    has_size(page, "i2i", 150, 100)
    number(page, "denoising_strength", "i2i").fill("1.5")
    page.locator("#i2i_generate").click()
    expect(page.locator("#i2i_denoising_strength .problem")).to_contain_text("from 0 to 1")
    expect(page.locator("#i2i_image .problem")).to_have_count(0)


def test_inpainting(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    open_tab(page, "inp")
    open_picture(page, "inp", picture)
    has_size(page, "inp", 150, 100)
    page.locator("#inp_generate").click()
    expect(page.locator("#inp_image .problem")).to_have_text("Paint over what should change, or extend the picture.")

    stroke(page)
    expect(number(page, "padding", "inp")).to_be_disabled()
    expect(page.locator("#inp_padding")).to_contain_text("Used where the inpaint area is")
    page.locator("#inp_inpaint_area").get_by_text("Only masked").click()
    expect(number(page, "padding", "inp")).to_be_enabled()
    expect(page.locator("#inp_padding")).not_to_contain_text("Used where")
    page.locator("#inp_mask_mode").get_by_text("Inpaint not masked").click()
    page.locator("#inp_masked_content").get_by_text("latent noise").click()
    seed = draw(page, "inp", width=128, height=96, padding=48, mask_blur=7, denoising_strength=0.5)
    expect(page.locator("#inp_image .problem")).to_have_count(0)
    request = newest(studio)
    mask = request["mask"]
    assert len(mask.pop("picture")) == 64
    assert mask == {"blur": 7, "invert": True, "content": "latent noise", "area": "Only masked", "padding": 48, "soft": False, "blur_y": None}
    expect(page.locator("#inp_view .facts")).to_contain_text("Mask blur 7, latent noise, only masked, padding 48, not masked")

    page.locator("#inp_image button[data-do=remove]").click()
    number(page, "mask_blur", "inp").fill("1")
    number(page, "seed", "inp").fill("-1")
    page.get_by_role("button", name="Reuse settings").click()
    expect(page.locator("#inp_image .canvas")).to_have_attribute("data-mode", "picture")
    expect(number(page, "mask_blur", "inp")).to_have_value("7")
    has_size(page, "inp", 128, 96)
    page.locator("#inp_generate").click()
    expect(page.locator("#inp_view .strip button")).to_have_count(2)
    again = newest(studio)
    assert again == request | {"mask": again["mask"], "seed": seed}


def test_the_picture_grows_on_both_canvas_and_form(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    open_tab(page, "inp")
    open_picture(page, "inp", picture)
    has_size(page, "inp", 150, 100)
    page.get_by_role("button", name="Outpaint").click()
    number(page, "grow_right", "inp").fill("64")
    has_size(page, "inp", 214, 100)
    page.locator("#inp_image button[data-tool=extend]").click()
    page.locator("#inp_image .handle[data-side=top]").press("ArrowUp")
    expect(number(page, "grow_top", "inp")).to_have_value("8")
    has_size(page, "inp", 214, 108)
    draw(page, "inp", width=216, height=112)
    request = newest(studio)
    assert request["image"]["grow"] == {"left": 0, "top": 8, "right": 64, "bottom": 0}
    assert (request["mask"]["picture"], request["mask"]["blur"]) == (None, 4), "the border's own edge, with the form's blur"


def test_hires_fix(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    draw(page, "t2i")
    assert newest(studio)["hires"] is None
    page.locator("#t2i_hires input").check()
    number(page, "hires_scale").fill("1.5")
    expect(page.locator("#t2i_hires_sizes")).to_have_text("from 128 × 128 to 192 × 192")
    draw(page, "t2i", hires_steps=5)
    hires = newest(studio)["hires"]
    assert (hires["upscaler"], hires["scale"], hires["steps"], hires["denoising_strength"]) == ("Latent", 1.5, 5, 0.7)
    assert (hires["sampler"], hires["prompt"], hires["keep_first"]) == ("", "", False)
    expect(page.locator("#t2i_view .facts")).to_contain_text("Hires fix Latent, 1.5×, 5 steps, strength 0.7")
    number(page, "hires_scale").fill("9")
    page.locator("#t2i_generate").click()
    expect(page.locator("#t2i_hires_scale .problem")).not_to_be_empty()


def test_hires_fix_offers_the_schedule_types_of_its_own_sampler(guest: Visitor) -> None:
    page = guest.tab()
    page.locator("#t2i_hires input").check()
    choose(page, "#t2i_hires_scheduler", "Karras")
    choose(page, "#t2i_hires_sampler", "DPM++ 2M")
    expect(page.locator("#t2i_hires_scheduler input")).to_have_value("Karras")
    choose(page, "#t2i_hires_sampler", "DDIM")
    expect(page.locator("#t2i_hires_scheduler input")).to_have_value("Use same scheduler")
    page.locator("#t2i_hires_scheduler input").click()
    expect(page.get_by_role("option", name="Use same scheduler", exact=True)).to_be_visible()
    expect(page.get_by_role("option", name="Karras", exact=True)).to_have_count(0)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_a_refiner_takes_over_and_the_file_says_so(browser: Browser, studio: Server, viewport: dict[str, int]) -> None:
    with visitor(browser, studio.url, viewport=viewport) as guest:
        page = guest.tab()
        choose(page, "#t2i_refiner", "starter")
        number(page, "refiner_switch_at").fill("0.5")
        draw(page, "t2i")
        assert newest(studio)["refiner"] == {"model": "starter", "switch_at": 0.5}
        expect(page.locator("#t2i_view .facts")).to_contain_text("Refiner starter from 50 %")
        choose(page, "#t2i_refiner", "None")
        draw(page, "t2i")
        assert newest(studio)["refiner"] is None


def choose(page: Page, dropdown: str, option: str) -> None:
    page.locator(f"{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_reload_keeps_tab_form_and_picture(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    open_tab(page, "i2i")
    open_picture(page, "i2i", picture)
    has_size(page, "i2i", 150, 100)
    number(page, "denoising_strength", "i2i").fill("0.4")
    seed = draw(page, "i2i", width=64, height=72)
    page.reload()
    expect(page.locator("#i2i_image .canvas")).to_have_attribute("data-mode", "picture")
    expect(number(page, "denoising_strength", "i2i")).to_have_value("0.4")
    has_size(page, "i2i", 64, 72)
    is_drawn(page, "i2i", seed)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#i2i_view .strip button")).to_have_count(2)
    assert newest(studio)["image"]["denoising_strength"] == 0.4


def test_a_new_page_shows_the_newest_job_in_its_tab(guest: Visitor, browser: Browser, studio: Server, picture: Path) -> None:
    page = guest.tab()
    open_tab(page, "i2i")
    open_picture(page, "i2i", picture)
    has_size(page, "i2i", 150, 100)
    seed = draw(page, "i2i", width=64, height=64)
    with visitor(browser, studio.url) as another:
        theirs = another.tab()
        expect(theirs.locator("#t2i_view .view")).to_have_attribute("data-mode", "empty")
        open_tab(theirs, "i2i")
        is_drawn(theirs, "i2i", seed)


@pytest.mark.parametrize("tab", ["i2i", "inp"])
def test_a_phone(browser: Browser, studio: Server, picture: Path, tab: str) -> None:
    with visitor(browser, studio.url, viewport=PHONE, has_touch=True, is_mobile=True) as guest:
        page = guest.tab()
        open_tab(page, tab)
        assert page.evaluate(FITS)
        open_picture(page, tab, picture)
        has_size(page, tab, 150, 100)
        expect(page.locator(f"#{tab}_generate")).to_be_in_viewport(ratio=1)
        if tab == "inp":
            stroke(page)
        draw(page, tab, width=64, height=64)
        expect(page.locator(f"#{tab}_view .picture")).to_be_in_viewport()
        assert page.evaluate(FITS)
        page.get_by_role("button", name="Send to img2img").click()
        has_size(page, "i2i", 64, 64)
        is_ready(page, "i2i")


def test_sizes_that_a_request_can_have() -> None:
    assert usable(640, 480) == (640, 480)
    assert usable(4096, 1024) == (2048, 512)
    assert usable(32, 48) == (64, 96)
    assert usable(8000, 80) == (2048, 64)


def test_what_hires_fix_says() -> None:
    assert "from 512 × 512 to 1024 × 1024" in from_to(True, 512, 512, 2.0, 0, 0)
    assert "to 1024 × 768" in from_to(True, 512, 384, 2.0, 1024, 0)
    assert from_to(False, 512, 512, 2.0, 0, 0) == ""
    assert from_to(True, None, 512, 2.0, 0, 0) == ""


def test_dotted_names() -> None:
    values = {"prompt": "a", "image.grow.left": 8, "image.picture": "b", "mask.blur": 4}
    assert nested(values) == {"prompt": "a", "image": {"grow": {"left": 8}, "picture": "b"}, "mask": {"blur": 4}}
