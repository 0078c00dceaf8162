"""The page in a real browser, on a real server with the starter model."""

from __future__ import annotations

import itertools
import re
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser import PHONE, Visitor, is_ready, number, prompt, visitor
from tests.conftest import Server

pytest_plugins = ["tests.visiting"]

RED_ON_BLUE = "a red circle on a blue background"
LONG = 150
"""Steps of a job that is still running when the test gets to it."""
SEEDS = itertools.count(1000, 100)


def ask(page: Page, text: str = RED_ON_BLUE, **numbers: float | str) -> int:
    """Fill the form and press Generate. Returns the seed, which no other job of the tests has."""
    seed = next(SEEDS)
    prompt(page).fill(text)
    for name, value in {"steps": 12, "seed": seed, **numbers}.items():
        number(page, name).fill(str(value))
    page.locator("#t2i_generate").click()
    return seed


def is_drawing(page: Page) -> None:
    expect(page.locator("#t2i_view .said")).to_contain_text("Step")
    expect(page.locator("#t2i_view .view")).to_have_attribute("data-mode", "preview")


def is_done(page: Page, seed: int) -> None:
    """The picture of that seed is on the stage. A page that is opened first shows what was drawn last, in whatever browser."""
    expect(page.locator("#t2i_view .facts")).to_contain_text(f"Seed {seed}")
    expect(page.locator("#t2i_view .about")).to_be_visible()
    expect(page.locator("#t2i_view .progress")).to_be_hidden()


def thumbnail(page: Page, seed: int) -> Locator:
    return page.get_by_role("button", name=f"seed {seed}")


def shown(page: Page, server: Server) -> Image.Image:
    """The picture on the stage, as the server gives it, having made sure that the browser has decoded it."""
    picture = page.locator("#t2i_view .picture")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 0
    address = picture.get_attribute("src")
    assert address
    answer = page.request.get(f"{server.url}/{address}")
    return Image.open(BytesIO(answer.body())).convert("RGB")


def saved(server: Server) -> set[Path]:
    return set(server.outputs.rglob("*.png"))


def test_a_prompt_becomes_a_picture(guest: Visitor, studio: Server) -> None:
    before = saved(studio)
    page = guest.tab()
    seed = ask(page, steps=LONG)
    expect(page.locator("#t2i_view .progress")).to_be_visible()
    is_drawing(page)
    is_done(page, seed)
    picture = shown(page, studio)
    assert picture.size == (128, 128)
    red, green, blue = picture.getpixel((64, 64))  # type: ignore[misc]
    assert red > green + 60 and red > blue + 60, "the middle is red"
    red, green, blue = picture.getpixel((4, 4))  # type: ignore[misc]
    assert blue > red + 60, "the corner is blue"
    (file,) = saved(studio) - before
    assert Image.open(file).convert("RGB").tobytes() == picture.tobytes()
    facts = page.locator("#t2i_view .facts")
    for fact in ("128 × 128", f"Steps {LONG}", "DPM++ 2M, Karras", "CFG 5", "Model starter"):
        expect(facts).to_contain_text(fact)


def test_the_preview_turns_into_the_picture_in_the_same_place(guest: Visitor) -> None:
    page = guest.tab()
    seed = ask(page, steps=LONG)
    is_drawing(page)
    frame = page.locator("#t2i_view .frame")
    while_drawing = frame.bounding_box()
    is_done(page, seed)
    assert frame.bounding_box() == while_drawing
    assert while_drawing and while_drawing["width"] <= 4 * 128


def test_previews_are_seen_on_a_slow_line_too(guest: Visitor) -> None:
    """Each takes longer to come than the next one takes to be made."""
    guest.context.add_init_script(
        """const decode = HTMLImageElement.prototype.decode;
        HTMLImageElement.prototype.decode = function () {
            return new Promise((later) => setTimeout(later, 1200)).then(() => decode.call(this));
        };"""
    )
    page = guest.tab()
    seed = ask(page, steps=LONG)
    is_drawing(page)
    is_done(page, seed)


def test_a_reload_in_mid_job_still_gets_the_picture(guest: Visitor, studio: Server) -> None:
    page = guest.tab()
    seed = ask(page, steps=LONG, batch_count=2)
    is_drawing(page)
    job = studio.get("internal/jobs/newest")["job"]
    page.reload()
    is_drawing(page)
    expect(prompt(page)).to_have_value(RED_ON_BLUE)
    expect(number(page, "steps")).to_have_value(str(LONG))
    expect(page.locator("#t2i_stop")).to_be_visible()
    is_done(page, seed)
    expect(page.locator("#t2i_view .picture")).to_have_attribute("src", f"internal/job/{job}/image/0.png")


def test_a_second_browser_sees_the_running_job_and_cannot_stop_it(guest: Visitor, browser: Browser, studio: Server) -> None:
    page = guest.tab()
    seed = ask(page, steps=LONG, batch_count=2)
    is_drawing(page)
    with visitor(browser, studio.url) as another:
        theirs = another.tab()
        is_drawing(theirs)
        expect(theirs.locator("#t2i_stop")).to_be_hidden()
        theirs.keyboard.press("Escape")
        expect(prompt(theirs)).to_have_value("")
        is_done(theirs, seed)
    is_done(page, seed)


def test_ctrl_enter_draws_and_escape_stops(guest: Visitor) -> None:
    page = guest.tab()
    prompt(page).fill(RED_ON_BLUE)
    number(page, "steps").fill(str(LONG))
    prompt(page).press("Control+Enter")
    is_drawing(page)
    expect(page.locator("#t2i_generate")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#t2i_view .trouble")).to_contain_text("Stopped")
    expect(page.locator("#t2i_stop")).to_be_hidden()


def test_jobs_can_be_queued_and_are_followed_in_order(guest: Visitor) -> None:
    page = guest.tab()
    ask(page, steps=LONG)
    is_drawing(page)
    second = ask(page, steps=4)
    expect(page.locator("#t2i_view .more")).to_contain_text("1 more queued")
    expect(page.locator("#status .queue")).to_have_text("1 waiting")
    is_done(page, second)


BAD = {
    "width": ("100", "96 or 104 would do"),
    "height": ("5000", "64 to 2048"),
    "steps": ("0", "from 1 to 150"),
    "guidance": ("31", "from 1 to 30"),
    "seed": ("1.5", "whole number"),
}


def test_what_cannot_be_used_is_said_at_the_field_and_nothing_is_lost(guest: Visitor) -> None:
    page = guest.tab()
    ask(page, "a blue house", **{name: value for name, (value, _) in BAD.items()})
    for name, (value, sentence) in BAD.items():
        expect(page.locator(f"#t2i_{name} .problem")).to_contain_text(sentence)
        expect(number(page, name)).to_have_value(value)
    expect(page.locator("#t2i_view .trouble")).to_contain_text("Please look at the marked fields")
    expect(prompt(page)).to_have_value("a blue house")
    seed = ask(page, "a blue house", width=128, height=128, guidance=5)
    expect(page.locator(".problem")).to_have_count(0)
    expect(page.locator("#t2i_view .trouble")).to_be_hidden()
    is_done(page, seed)


def test_an_empty_number_is_said_at_the_field(guest: Visitor) -> None:
    page = guest.tab()
    ask(page, batch_count="")
    expect(page.locator("#t2i_batch_count .problem")).to_contain_text("is empty")


def test_four_pictures_and_what_can_be_done_with_them(guest: Visitor, studio: Server, tmp_path: Path) -> None:
    page = guest.tab()
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=studio.url)
    seed = ask(page, steps=6, batch_count=2, batch_size=2)
    is_done(page, seed)
    thumbnail(page, seed + 2).click()
    is_done(page, seed + 2)
    page.keyboard.press("ArrowRight")
    is_done(page, seed + 3)

    page.locator("#t2i_view .frame").click()
    full = page.locator("#t2i_view .full")
    expect(full).to_be_visible()
    page.keyboard.press("Escape")
    expect(full).to_be_hidden()

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert str(seed + 3) in file.name
    assert file.read_bytes() in [path.read_bytes() for path in saved(studio)]

    page.get_by_role("button", name="Copy parameters").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == Image.open(file).text["parameters"]  # type: ignore[attr-defined]


def test_reuse_settings_fills_the_form(guest: Visitor) -> None:
    page = guest.tab()
    page.locator("#t2i_negative textarea").fill("green")
    page.locator("#t2i_sampler input").click()
    page.get_by_role("option", name="Euler", exact=True).click()
    seed = ask(page, RED_ON_BLUE, steps=7, width=96, height=64, guidance=6.5, batch_count=2) + 1
    thumbnail(page, seed).click()
    is_done(page, seed)

    prompt(page).fill("something else")
    page.locator("#t2i_negative textarea").fill("")
    for name, value in {"steps": 30, "seed": -1, "width": 128, "height": 128, "guidance": 2}.items():
        number(page, name).fill(str(value))
    page.locator("#t2i_seed_reuse").click()
    expect(number(page, "seed")).to_have_value(str(seed))
    page.locator("#t2i_seed_random").click()
    expect(number(page, "seed")).to_have_value("-1")

    page.get_by_role("button", name="Reuse settings").click()
    expect(prompt(page)).to_have_value(RED_ON_BLUE)
    expect(page.locator("#t2i_negative textarea")).to_have_value("green")
    for name, value in {"steps": "7", "seed": str(seed), "width": "96", "height": "64", "guidance": "6.5", "batch_count": "1"}.items():
        expect(number(page, name)).to_have_value(value)
    expect(page.locator("#t2i_sampler input")).to_have_value("Euler")


def test_tokens_ratios_and_swap(guest: Visitor) -> None:
    page = guest.tab()
    tokens = page.locator("#t2i_prompt .tokens")
    expect(tokens).to_have_text("0/75")
    prompt(page).fill("a red circle")
    expect(tokens).to_have_text("3/75")
    page.get_by_role("button", name="16:9").click()
    expect(number(page, "width")).to_have_value("168")
    expect(number(page, "height")).to_have_value("96")
    page.get_by_role("button", name="Swap width and height").click()
    expect(number(page, "width")).to_have_value("96")
    expect(page.get_by_role("button", name="9:16")).to_have_attribute("aria-pressed", "true")


def test_only_schedules_that_the_sampler_can_use(guest: Visitor) -> None:
    page = guest.tab()
    page.locator("#t2i_scheduler input").click()
    page.get_by_role("option", name="Karras", exact=True).click()
    page.locator("#t2i_sampler input").click()
    page.get_by_role("option", name="Euler a", exact=True).click()
    expect(page.locator("#t2i_scheduler input")).to_have_value("Automatic")
    expect(page.get_by_text("Euler a cannot use the schedule type Karras")).to_be_visible()
    page.locator("#t2i_scheduler input").click()
    expect(page.get_by_role("option", name="Uniform", exact=True)).to_be_visible()
    expect(page.get_by_role("option", name="Karras", exact=True)).to_have_count(0)


def test_a_phone(browser: Browser, studio: Server) -> None:
    with visitor(browser, studio.url, viewport=PHONE, has_touch=True, is_mobile=True) as guest:
        page = guest.tab()
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(fits)
        expect(page.locator("#t2i_generate")).to_be_in_viewport(ratio=1)
        is_done(page, ask(page))
        expect(page.locator("#t2i_view .picture")).to_be_in_viewport()
        assert page.evaluate(fits)
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        expect(page.locator("#t2i_generate")).to_be_in_viewport(ratio=1)
        expect(page.locator("#status")).to_be_in_viewport()


def test_ten_tabs_of_one_browser(guest: Visitor) -> None:
    tabs = [guest.tab() for _ in range(10)]
    seeds = [ask(page, steps=3) for page in tabs]
    for page, seed in zip(tabs, seeds, strict=True):
        is_done(page, seed)


@pytest.mark.parametrize("system", ["light", "dark"])
def test_light_and_dark_follow_the_system_until_chosen(browser: Browser, studio: Server, system: str) -> None:
    with visitor(browser, studio.url, color_scheme=system) as guest:
        page = guest.tab()
        light, dark = re.compile(r"^((?!dark).)*$"), re.compile("dark")
        first, second = (light, dark) if system == "light" else (dark, light)
        expect(page.locator("body")).to_have_class(first)
        page.locator("#theme_toggle").click()
        expect(page.locator("body")).to_have_class(second)
        page.reload()
        is_ready(page)
        expect(page.locator("body")).to_have_class(second)


def test_a_server_that_is_away_for_a_moment_is_waited_for(browser: Browser, studio: Server) -> None:
    with visitor(browser, studio.url) as guest:
        page = guest.tab()
        seed = ask(page, steps=LONG)
        is_drawing(page)

        def refuse(route: Route) -> None:
            route.abort()

        page.route("**/internal/job/*", refuse)
        expect(page.locator("#t2i_view .said")).to_contain_text("No answer from Atelier")
        page.unroute("**/internal/job/*")
        is_done(page, seed)
        guest.complaints = [said for said in guest.complaints if "ERR_FAILED" not in said]
