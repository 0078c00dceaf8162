"""The Models tab in a real browser, with a stand-in of the hub on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import DESKTOP, PHONE, Visitor, visitor
from tests.conftest import Server, start_server, stop_server
from tests.hub import Hub, running_hub
from tests.test_page_pictures import FITS

pytest_plugins = ["tests.visiting"]

WEIGHTS = os.urandom(400_000)
CANNY = "comfyanonymous/ControlNet-v1-1_fp16_safetensors"


@dataclass
class Studio:
    server: Server
    hub: Hub
    models: Path


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server whose hub is the stand-in, with a damaged model in its first models folder."""
    folder = tmp_path_factory.mktemp("models-tab")
    models = folder / "models"
    (models / "ControlNet").mkdir(parents=True)
    (models / "ControlNet" / "broken.safetensors").write_bytes(b"no model")
    with running_hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.delenv("HF_TOKEN", raising=False)
        server = start_server(folder, "--models-dir", str(models))
        yield Studio(server, hub, models)
        stop_server(server)


def open_models(guest: Visitor) -> Page:
    page = guest.tab()
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#models_view .here .row").first).to_be_visible()
    return page


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_what_is_here_is_listed_and_found_and_nothing_is_asked_of_the_network(browser: Browser, stocked: Studio, viewport: dict[str, int]) -> None:
    with visitor(browser, stocked.server.url, viewport=viewport) as guest:
        page = open_models(guest)
        rows = page.locator("#models_view .here .row")
        expect(rows.filter(has_text="broken").locator(".sentence")).to_contain_text("is damaged")
        expect(rows.filter(has_text="Atelier starter").first).to_contain_text("diffusers folder")
        page.locator("#models_view .search input").fill("broken")
        expect(rows).to_have_count(1)
        page.locator("#models_view .search input").fill("no such thing")
        expect(page.locator("#models_view .nothing")).to_have_text("Nothing here has that name.")
        page.locator("#models_view .search input").fill("")
        page.get_by_role("button", name="Upscalers").click()
        expect(rows.filter(has_text="broken")).to_have_count(0)
        expect(rows.first).to_contain_text("Starter 4x")
        offer = page.locator("#models_view [data-entry=flux-schnell]")
        expect(offer.locator(".facts")).to_contain_text("33.7 GB")
        expect(offer.locator(".facts")).to_contain_text("fits 24 GB cards")
        assert page.evaluate(FITS)
        assert stocked.hub.asked == []


def test_a_click_a_confirmation_and_it_comes(browser: Browser, stocked: Studio) -> None:
    stocked.hub.repositories[CANNY] = {"control_v11p_sd15_canny_fp16.safetensors": WEIGHTS}
    stocked.hub.step_s = 0.3
    with visitor(browser, stocked.server.url) as guest:
        page = open_models(guest)
        page.get_by_role("button", name="Download Canny edges").click()
        confirm = page.locator("#models_view .confirm")
        expect(confirm).to_contain_text("723 MB")
        expect(confirm).to_contain_text("CreativeML OpenRAIL-M")
        assert not any("/resolve/" in path for _, path, _ in stocked.hub.asked)
        confirm.get_by_role("button", name="Download").click()
        row = page.locator("#models_view .download")
        expect(row.locator(".said")).to_contain_text("of 400 kB")
        row.get_by_role("button", name="Stop Canny edges").click()
        expect(row).to_have_attribute("data-state", "cancelled")
        stocked.hub.step_s = 0
        row.get_by_role("button", name="Go on: Canny edges").click()
        expect(row.locator(".said")).to_contain_text("checked")
        expect(page.locator("#models_view [data-entry=control-sd15-canny] .have")).to_have_text("Here")
        expect(page.locator("#models_view .here .row").filter(has_text="control_v11p_sd15_canny_fp16")).to_be_visible()
        row.get_by_role("button", name="Clear: Canny edges").click()
        expect(row).to_have_count(0)
    assert (stocked.models / "ControlNet" / "control_v11p_sd15_canny_fp16.safetensors").read_bytes() == WEIGHTS


def test_a_typed_repository_that_is_gated_says_what_to_do(browser: Browser, stocked: Studio) -> None:
    stocked.hub.repositories["maker/closed"] = {"4x.safetensors": WEIGHTS}
    stocked.hub.gated.add("maker/closed")
    with visitor(browser, stocked.server.url, viewport=PHONE) as guest:
        page = open_models(guest)
        form = page.locator("#models_view .by-hand")
        form.locator("input").fill("http://example.org/x.pth")
        form.get_by_role("button", name="Look").click()
        expect(form.locator(".sentence")).to_contain_text("Only addresses that begin with https://")
        form.locator("input").fill("maker/closed")
        form.locator("select").select_option("upscaler")
        form.get_by_role("button", name="Look").click()
        confirm = page.locator("#models_view .confirm")
        expect(confirm).to_contain_text("400 kB")
        expect(confirm).to_contain_text("Its licence has to be accepted first")
        confirm.get_by_role("button", name="Download").click()
        row = page.locator("#models_view .download")
        expect(row.locator(".sentence")).to_contain_text("accepted")
        token = page.locator("#models_view .token")
        token.locator("summary").click()
        token.locator("input").fill("this is no token")
        token.get_by_role("button", name="Save").click()
        expect(token.locator(".sentence")).to_contain_text("This is not an access token")
        assert page.evaluate(FITS)
        row.get_by_role("button", name="Remove").click()
        expect(page.locator("#models_view .going")).to_be_hidden()
        guest.complaints = [said for said in guest.complaints if "422" not in said]


def test_offline_is_said_and_nothing_can_be_started(browser: Browser, stocked: Studio, tmp_path: Path) -> None:
    server = start_server(tmp_path, "--offline", "--models-dir", str(stocked.models))
    asked = len(stocked.hub.asked)
    try:
        with visitor(browser, server.url) as guest:
            page = open_models(guest)
            expect(page.locator("#models_view .offline")).to_be_visible()
            expect(page.get_by_role("button", name="Download Stable Diffusion 1.5")).to_be_disabled()
        status, answer = server.post("internal/downloads", {"entry": "sd15"})
        assert (status, "--offline" in answer["detail"]) == (422, True)
    finally:
        stop_server(server)
    assert len(stocked.hub.asked) == asked


def test_the_list_for_programs_says_what_each_model_is(stocked: Studio) -> None:
    models = {model["name"]: model for model in stocked.server.get("api/models")}
    starter = models["starter"]
    assert (starter["kind"], starter["family"], starter["format"], starter["reason"]) == ("checkpoint", "starter", "diffusers folder", "")
    assert starter["precision"] in ("fp16", "fp32") and starter["bytes"] > 10**6
    assert {"unet", "vae", "text_encoder"} <= set(starter["components"]["present"]) and starter["components"]["missing"] == []
    assert "damaged" in models["broken"]["reason"]
    status, answer = stocked.server.post("internal/downloads/token", {"token": ["hf_secret_in_a_list"]})
    assert status == 422 and "secret" not in str(answer)
