"""Take the README's pictures of the page, and a sheet of the starter model's, from a running Atelier.

`python3 -m tools.take_screenshots` (needs requirements-dev.txt and an installed Chromium)
"""

from __future__ import annotations

import base64
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.serving import ROOT, Served, served

DOCS = ROOT / "docs"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage"]
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PROMPT = "a red house by snowy mountains at sunset"
SHEET = (
    "a red circle on a blue background", "a large yellow star on a purple background", "a white heart on the left on a teal background",
    "a black cross on an orange background", "a green ring at the top on a pink background", "a small blue diamond on a white background",
    "a red house by snowy mountains at sunset", "a white sailboat on the sea at dawn", "a lighthouse by the sea at night with the moon",
    "a pine tree by green hills", "a hot air balloon over the desert at sunset with the sun", "a city at night with the moon on the left",
)  # fmt: skip
COLUMNS = 6


def sheet(atelier: Served) -> Image.Image:
    """One picture of each prompt, seed 1, none chosen."""
    pictures = []
    for prompt in SHEET:
        answer = atelier.txt2img(prompt=prompt, seed=1, steps=20, cfg_scale=5, width=128, height=128, sampler_name="DPM++ 2M")
        pictures.append(Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))))
    page = Image.new("RGB", (128 * COLUMNS, 128 * (len(pictures) // COLUMNS)))
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % COLUMNS * 128, number // COLUMNS * 128))
    return page


def shoot(browser: Browser, atelier: Served, name: str, size: dict[str, int], scheme: str) -> Page:
    """Draw the prompt in a new window and keep what it then shows."""
    context = browser.new_context(viewport={"width": size["width"], "height": size["height"]}, color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(atelier.url)
    page.locator("#t2i_prompt textarea").fill(PROMPT)
    page.locator("#t2i_seed input").fill("7")
    page.locator("#t2i_seed input").press("Tab")
    page.locator("#t2i_generate").click()
    page.locator("#t2i_stop").wait_for(state="visible")  # there while the job runs
    page.locator("#t2i_stop").wait_for(state="hidden", timeout=120_000)
    page.locator("#statusbar").get_by_text("Ready").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=DOCS / f"{name}.png")
    return page


def paint(page: Page) -> None:
    """Send the picture to the inpaint tab, and paint over its sky."""
    page.get_by_role("button", name="Send to inpaint").first.click()
    box = page.locator("#inp_image .picture").bounding_box()
    assert box
    for line in range(4):
        y = box["y"] + box["height"] * (0.12 + 0.06 * line)
        page.mouse.move(box["x"] + box["width"] * 0.55, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.9, y, steps=5)
        page.mouse.up()
    page.locator("#inp_prompt textarea").fill("snowy mountains at sunset with the sun")
    page.screenshot(path=DOCS / "inpaint-light.png")


def follow(page: Page) -> None:
    """Send the picture to the ControlNet tab, read its edges, and draw another one that keeps to them."""
    page.get_by_role("button", name="Send to ControlNet").first.click()
    unit = page.locator("#cnt_controls .units article").first
    unit.get_by_label("Control Type").select_option("Canny")
    unit.get_by_role("button", name="Preview").click()
    unit.locator(".map img").wait_for(state="visible")
    page.locator("#cnt_prompt textarea").fill("a blue house by snowy mountains at night")
    page.locator("#cnt_generate").click()
    page.locator("#cnt_stop").wait_for(state="visible")
    page.locator("#cnt_stop").wait_for(state="hidden", timeout=120_000)
    page.locator("#statusbar").get_by_text("Ready").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=DOCS / "controlnet-light.png")


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as atelier, sync_playwright() as playwright:
        sheet(atelier).save(DOCS / "starter.png", optimize=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, size, scheme in (("page-light", DESK, "light"), ("page-dark", DESK, "dark"), ("phone-dark", PHONE, "dark")):
            page = shoot(browser, atelier, name, size, scheme)
            if name == "page-light":
                follow(page)
                page.get_by_role("tab", name="txt2img").click()
                paint(page)
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main()
