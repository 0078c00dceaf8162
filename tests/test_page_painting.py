"""Painting in the page all the way to the picture, at both sizes, and a folder of pictures through the form."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser import DESKTOP, PHONE, Visitor, number, prompt, visitor
from tests.conftest import Server, wait_until
from tests.test_page_pictures import choose

pytest_plugins = ["tests.visiting"]

SEEDS = itertools.count(900_000, 100)


@pytest.fixture
def speckled(tmp_path: Path) -> Path:
    """A picture in which every pixel is another, 128 x 96."""
    path = tmp_path / "speckled.png"
    Image.effect_noise((128, 96), 70).convert("RGB").save(path)
    return path


def open_tab(page: Page, title: str, prefix: str) -> None:
    page.get_by_role("tab", name=title).click()
    expect(page.locator(f"#{prefix}_prompt .tokens")).not_to_be_empty()


def paint(page: Page, *, touch: bool) -> None:
    """A line across the middle half of the picture, with the mouse or a finger."""
    box = page.locator("#inp_image .picture").bounding_box()
    assert box
    y, left, right = box["y"] + box["height"] / 2, box["x"] + box["width"] * 0.25, box["x"] + box["width"] * 0.75
    if not touch:
        page.mouse.move(left, y)
        page.mouse.down()
        page.mouse.move(right, y, steps=6)
        page.mouse.up()
        return
    wire = page.context.new_cdp_session(page)
    wire.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": left, "y": y}]})
    for part in np.linspace(0, 1, 7):
        wire.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": left + part * (right - left), "y": y}]})
    wire.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("screen", [{"viewport": DESKTOP}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}])
def test_what_is_painted_over_changes_and_the_rest_stays_to_the_bit(browser: Browser, studio: Server, speckled: Path, screen: dict[str, Any]) -> None:
    seed = next(SEEDS)
    with visitor(browser, studio.url, **screen) as guest:
        page = guest.tab()
        open_tab(page, "Inpaint", "inp")
        page.locator("#inp_image .choose-picture").set_input_files(speckled)
        expect(number(page, "width", "inp")).to_have_value("128")
        page.locator("#inp_image .picture").scroll_into_view_if_needed()
        paint(page, touch=bool(screen.get("has_touch")))
        prompt(page, "inp").fill("a red circle on a blue background")
        for name, value in {"steps": 6, "seed": seed, "denoising_strength": 1, "mask_blur": 0}.items():
            number(page, name, "inp").fill(str(value))
        page.locator("#inp_generate").click()
        expect(page.locator("#inp_view .facts")).to_contain_text(f"Seed {seed}")
        expect(page.locator("#inp_view .progress")).to_be_hidden()
        job = studio.get("internal/jobs/newest")["job"]
        after = np.asarray(Image.open(BytesIO(page.request.get(f"{studio.url}/internal/job/{job}/image/0.png").body())).convert("RGB"))
        mask_id = studio.get(f"internal/job/{job}")["request"]["mask"]["picture"]
        mask = np.asarray(Image.open(BytesIO(page.request.get(f"{studio.url}/internal/inputs/{mask_id}.png").body())))
    before = np.asarray(Image.open(speckled))
    assert mask.shape == before.shape[:2]
    assert mask[48, 64] == 255 and mask[4, 4] == 0
    assert (after[mask == 0] == before[mask == 0]).all()
    assert (after[mask == 255] != before[mask == 255]).any(axis=-1).mean() > 0.9


def drawn_in_page(page: Page, studio: Server, seed: int) -> tuple[dict[str, Any], bytes]:
    """The newest job once it is done, and its last picture's pixels."""
    before = studio.get("internal/jobs/newest")["job"]
    number(page, "seed").fill(str(seed))
    page.locator("#t2i_generate").click()
    wait_until(lambda: studio.get("internal/jobs/newest")["job"] != before)
    expect(page.locator("#t2i_view .facts")).to_contain_text(f"Seed {seed}")
    expect(page.locator("#t2i_view .progress")).to_be_hidden()
    now = studio.get("internal/jobs/newest")["job"]
    wait_until(lambda: studio.get(f"internal/job/{now}")["state"] == "done")
    job = studio.get(f"internal/job/{now}")
    picture = Image.open(BytesIO(page.request.get(f"{studio.url}/{job['pictures'][-1]['url']}").body()))
    return job, picture.convert("RGB").tobytes()


def test_a_refiner_and_a_hires_checkpoint_are_chosen_in_the_page_and_act(guest: Visitor, studio: Server) -> None:
    """The model refines itself: with an ancestral sampler the noise of the last steps is another then, and so is the picture."""
    page, seed = guest.tab(), next(SEEDS)
    prompt(page).fill("green hills by day")
    number(page, "steps").fill("6")
    choose(page, "#t2i_sampler", "Euler a")
    plain, alone = drawn_in_page(page, studio, seed)
    assert plain["request"]["refiner"] is None
    choose(page, "#t2i_refiner", "starter")
    number(page, "refiner_switch_at").fill("0.5")
    refined, other = drawn_in_page(page, studio, seed + 1)
    assert refined["request"]["refiner"] == {"model": "starter", "switch_at": 0.5}
    assert "Refiner: starter, Refiner switch at: 0.5" in refined["pictures"][0]["infotext"]
    expect(page.locator("#t2i_view .facts")).to_contain_text("Refiner starter from 50 %")
    choose(page, "#t2i_refiner", "None")
    _, unrefined = drawn_in_page(page, studio, seed + 1)
    assert other not in (alone, unrefined)

    page.locator("#t2i_hires input").first.check()
    expect(page.locator("#t2i_hires_model input")).to_have_value("Use same checkpoint")
    choose(page, "#t2i_hires_model", "starter")
    number(page, "hires_scale").fill("1.5")
    second, _ = drawn_in_page(page, studio, seed + 2)
    assert second["request"]["hires"]["model"] == "starter"
    assert "Hires checkpoint: starter" in second["pictures"][0]["infotext"]


def test_a_folder_goes_through_the_form_and_a_bad_picture_is_listed(guest: Visitor, tmp_path: Path, speckled: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("one.png", "two.png"):
        (source / name).write_bytes(speckled.read_bytes())
    (source / "bad.png").write_text("This is a text.")
    page = guest.tab()
    open_tab(page, "img2img", "i2i")
    prompt(page, "i2i").fill("dunes")
    number(page, "steps", "i2i").fill("2")
    page.get_by_text("Batch: a folder of pictures").click()
    start = page.locator("#i2i_batch_start")
    start.click()
    expect(page.locator("#i2i_batch_source .problem")).to_contain_text("Input folder is empty")
    page.locator("#i2i_batch_source textarea, #i2i_batch_source input").first.fill(str(source))
    page.locator("#i2i_batch_target textarea, #i2i_batch_target input").first.fill(str(target))
    start.click()
    view = page.locator("#i2i_batch_view")
    expect(view.locator(".line")).to_contain_text("2 pictures drawn in")
    expect(view.locator(".line")).to_contain_text("1 failed")
    expect(view.locator(".lost")).to_contain_text("bad.png")
    expect(view.locator(".lost")).to_contain_text("not a picture")
    expect(page.locator("#i2i_batch_source .problem")).to_have_count(0)
    assert sorted(path.name for path in target.iterdir()) == ["one.png", "two.png"]
    assert Image.open(target / "one.png").size == (128, 96)
    page.reload()
    expect(page.locator("#i2i_prompt .tokens")).not_to_be_empty()
    page.get_by_text("Batch: a folder of pictures").click()
    expect(view.locator(".line")).to_contain_text("2 pictures drawn in")
