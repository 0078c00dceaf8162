"""The Upscale tab in a real browser."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import DESKTOP, PHONE, Visitor, number, visitor
from tests.conftest import Server
from tests.test_page_pictures import FITS, choose, draw

pytest_plugins = ["tests.visiting"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """60 x 40 pixels, red at the left and green at the right."""
    made = Image.new("RGB", (60, 40), "red")
    made.paste("green", (30, 0, 60, 40))
    path = tmp_path / "picture.png"
    made.save(path)
    return path


def open_upscale(page: Page) -> None:
    page.get_by_role("tab", name="Upscale").click()
    expect(page.locator("#ups_generate")).to_be_visible()
    expect(page.locator("#ups_image .canvas")).to_be_visible()


def upscale(page: Page, studio: Server, width: int, height: int) -> Image.Image:
    page.locator("#ups_generate").click()
    expect(page.locator("#ups_view .facts")).to_contain_text(f"Size {width} × {height}")
    expect(page.locator("#ups_view .progress")).to_be_hidden()
    expect(page.locator("#ups_view .picture")).to_have_attribute("src", re.compile("internal/job/.*/image"))
    address = page.locator("#ups_view .picture").get_attribute("src")
    return Image.open(BytesIO(page.request.get(f"{studio.url}/{address}").body())).convert("RGB")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_a_picture_becomes_larger_and_can_be_compared(browser: Browser, studio: Server, picture: Path, viewport: dict[str, int]) -> None:
    with visitor(browser, studio.url, viewport=viewport) as guest:
        page = guest.tab()
        open_upscale(page)
        expect(page.locator("#ups_upscaler input")).to_have_value("Starter 4x")
        page.locator("#ups_image .choose-picture").set_input_files(picture)
        expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 240 × 160")
        number(page, "scale", "ups").fill("3")
        expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 180 × 120")
        made = upscale(page, studio, 180, 120)
        assert made.size == (180, 120)
        left, right = np.asarray(made)[60, 20], np.asarray(made)[60, 160]
        assert left[0] > 200 > left[1] and right[1] > 90 > right[0]
        expect(page.locator("#ups_view .facts")).to_contain_text("Upscaler Starter 4x")
        expect(page.get_by_role("button", name="Reuse seed").locator("visible=true")).to_have_count(0)

        before = page.locator("#ups_view .before")
        expect(before).to_be_visible()
        slider = page.locator("#ups_view .compare input")
        shown = [before.evaluate("image => getComputedStyle(image).clipPath")]
        slider.fill("90")
        shown.append(before.evaluate("image => getComputedStyle(image).clipPath"))
        assert shown[0] != shown[1]
        assert page.evaluate(FITS)


def test_a_result_is_sent_and_what_it_came_from_stays_known(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    seed = draw(page, "t2i", width=64, height=64)
    page.locator("#t2i_view").get_by_role("button", name="Send to upscale").click()
    expect(page.locator("#ups_sizes")).to_have_text("from 64 × 64 to 256 × 256")
    made = upscale(page, studio, 256, 256)
    assert made.size == (256, 256)
    newest = studio.get(f"internal/job/{studio.get('internal/jobs/newest')['job']}")
    assert f"Seed: {seed}" in newest["pictures"][0]["infotext"]
    page.locator("#ups_view").get_by_role("button", name="Send to img2img").click()
    expect(number(page, "width", "i2i")).to_have_value("256")


def test_a_reload_keeps_the_form_the_picture_and_the_model(guest: Visitor, studio: Server, picture: Path) -> None:
    page = guest.tab()
    open_upscale(page)
    page.locator("#ups_image .choose-picture").set_input_files(picture)
    number(page, "width", "ups").fill("128")
    choose(page, "#ups_upscaler", "Nearest")
    expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 128 × 85")
    upscale(page, studio, 128, 85)
    page.reload()
    expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 128 × 85")
    expect(page.locator("#ups_upscaler input")).to_have_value("Nearest")
    expect(page.locator("#ups_view .facts")).to_contain_text("Size 128 × 85")
    expect(page.locator("#model_picker input")).to_have_value(re.compile("starter"))
    page.get_by_role("tab", name="txt2img").click()
    draw(page, "t2i", width=64, height=64)


def test_what_cannot_be_is_said_at_the_field(guest: Visitor, picture: Path) -> None:
    page = guest.tab()
    open_upscale(page)
    page.locator("#ups_generate").click()
    expect(page.locator("#ups_image .problem")).to_contain_text("Please choose a picture")
    page.locator("#ups_image .choose-picture").set_input_files(picture)
    expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 240 × 160")
    number(page, "width", "ups").fill("100000")
    page.locator("#ups_generate").click()
    expect(page.locator("#ups_width .problem")).to_contain_text("16,384 pixels is the most")


def test_a_folder_of_pictures_becomes_larger(guest: Visitor, picture: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "one.png").write_bytes(picture.read_bytes())
    (source / "bad.png").write_text("This is a text.")
    page = guest.tab()
    open_upscale(page)
    number(page, "scale", "ups").fill("2")
    page.get_by_text("Batch: a folder of pictures").locator("visible=true").click()
    page.locator("#ups_batch_source textarea, #ups_batch_source input").first.fill(str(source))
    page.locator("#ups_batch_target textarea, #ups_batch_target input").first.fill(str(target))
    page.locator("#ups_batch_start").click()
    view = page.locator("#ups_batch_view")
    expect(view.locator(".line")).to_contain_text("1 failed")
    expect(view.locator(".lost")).to_contain_text("bad.png")
    assert Image.open(target / "one.png").size == (120, 80)


def test_a_drawn_picture_is_made_larger_at_once_and_its_details_drawn_anew(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    page.locator("#t2i_upscale input").first.check()
    page.locator("#t2i_upscale_detail input").check()
    first = draw(page, "t2i", upscale_strength=0.4, steps=5)
    expect(page.locator("#t2i_view .facts")).to_contain_text("Size 256 × 256")
    expect(page.locator("#t2i_view .facts")).to_contain_text("Starter 4x, details 0.4")
    job = studio.get(f"internal/job/{studio.get('internal/jobs/newest')['job']}")
    assert job["request"]["upscale"]["detail"] == {"denoising_strength": 0.4, "tile": 0, "control": ""}
    page.locator("#t2i_upscale input").first.uncheck()
    draw(page, "t2i", steps=3)
    assert studio.get(f"internal/job/{studio.get('internal/jobs/newest')['job']}")["request"]["upscale"] is None
    page.get_by_role("button", name=f"seed {first}").click()
    expect(page.locator("#t2i_view .facts")).to_contain_text(f"Seed {first}")
    page.locator("#t2i_view").get_by_role("button", name="Reuse settings").click()
    expect(page.locator("#t2i_upscale input").first).to_be_checked()
    expect(page.locator("#t2i_upscale_detail input")).to_be_checked()


def test_several_pictures_at_once_each_become_a_job_and_a_bad_one_is_named(guest: Visitor, picture: Path, tmp_path: Path) -> None:
    files = [picture]
    for width, colour in ((30, "blue"), (31, "yellow")):
        files.append(tmp_path / f"{colour}.png")
        Image.new("RGB", (width, 20), colour).save(files[-1])
    (tmp_path / "bad.png").write_text("This is a text.")
    page = guest.tab()
    open_upscale(page)
    page.locator("#ups_image .choose-picture").set_input_files([*files, tmp_path / "bad.png"])
    expect(page.locator("#ups_several .count")).to_have_text("and 2 more pictures")
    expect(page.locator("#ups_several .lost")).to_contain_text("bad.png")
    guest.complaints.clear()  # the browser's own, about the answer to that file
    expect(page.locator("#ups_sizes")).to_have_text("from 60 × 40 to 240 × 160")
    choose(page, "#ups_upscaler", "Nearest")
    number(page, "scale", "ups").fill("2")
    page.locator("#ups_generate").click()
    strip = page.locator("#ups_view .strip button")
    expect(strip).to_have_count(3)
    expect(page.locator("#ups_view .facts")).to_contain_text("Size 62 × 40")
    page.reload()
    open_upscale(page)
    expect(page.locator("#ups_several li")).to_have_count(2)
    page.locator("#ups_several li button").first.click()
    expect(page.locator("#ups_several .count")).to_have_text("and 1 more picture")
    page.locator("#ups_several").get_by_role("button", name="Remove all").click()
    page.locator("#ups_generate").click()
    expect(page.locator("#ups_view .facts")).to_contain_text("Size 120 × 80")


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_faces_have_their_place_in_the_form_and_without_a_face_it_is_said(
    browser: Browser, studio: Server, picture: Path, viewport: dict[str, int], scheme: str
) -> None:
    with visitor(browser, studio.url, viewport=viewport, color_scheme=scheme) as guest:
        page = guest.tab()
        open_upscale(page)
        expect(page.locator("#ups_faces input")).to_have_value("None")
        expect(page.locator("#ups_faces")).to_contain_text("models/GFPGAN")
        number(page, "faces_visibility", "ups").fill("3")
        page.locator("#ups_image .choose-picture").set_input_files(picture)
        expect(page.locator("#ups_sizes")).to_contain_text("240 × 160")
        page.locator("#ups_generate").click()
        expect(page.locator("#ups_faces_visibility .problem")).to_contain_text("from 0 to 1")
        assert page.evaluate(FITS)


def test_a_large_one_can_be_stopped(guest: Visitor, studio: Server, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.effect_noise((2000, 2000), 40).convert("RGB").save(large, compress_level=1)
    page = guest.tab()
    open_upscale(page)
    page.locator("#ups_image .choose-picture").set_input_files(large)
    expect(page.locator("#ups_sizes")).to_have_text("from 2000 × 2000 to 8000 × 8000")
    page.locator("#ups_generate").click()
    expect(page.locator("#ups_view .said")).to_contain_text("Making it larger")
    page.keyboard.press("Escape")
    expect(page.locator("#ups_view .trouble")).to_contain_text("Stopped")
    assert studio.get("healthz")["status"] == "ok"
