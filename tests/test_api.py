"""The routes, over real HTTP against the real server."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend import images
from tests.conftest import Server, start_server, stop_server, wait_until

BODY = {"prompt": "a red circle on a blue background", "width": 128, "height": 128, "steps": 8, "seed": 3, "cfg_scale": 5}


def test_healthz_tells_of_the_worker_and_no_tensors_are_in_the_server(server: Server) -> None:
    health = server.get("healthz")
    assert health["status"] == "ok"
    assert health["worker"]["state"] in ("ready", "busy")
    assert health["server_modules_with_tensors"] == []


def test_txt2img_answers_as_a1111_does(server: Server) -> None:
    status, answer = server.post("sdapi/v1/txt2img", {**BODY, "batch_size": 2, "sampler_name": "DPM++ 2M Karras"})
    assert status == 200
    assert set(answer) == {"images", "parameters", "info"}
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [3, 4]
    assert info["sampler_name"] == "DPM++ 2M"
    assert answer["parameters"]["prompt"] == BODY["prompt"]
    for number, text in enumerate(answer["images"]):
        data = base64.b64decode(text, validate=True)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("PNG", (128, 128))
        assert picture.info["parameters"] == info["infotexts"][number]
        _, request = images.read_metadata(data)
        assert request and request.seed == 3 + number and request.batch_size == 1


def test_the_same_call_gives_the_same_bytes_and_nothing_is_saved_unasked(server: Server) -> None:
    before = sorted(server.outputs.rglob("*.png"))
    first, second = (server.post("sdapi/v1/txt2img", BODY)[1]["images"] for _ in range(2))
    assert first == second
    assert sorted(server.outputs.rglob("*.png")) == before


def test_save_images_saves_the_same_bytes(server: Server) -> None:
    before = set(server.outputs.rglob("*.png"))
    _, answer = server.post("sdapi/v1/txt2img", {**BODY, "save_images": True})
    (new,) = set(server.outputs.rglob("*.png")) - before
    assert new.read_bytes() == base64.b64decode(answer["images"][0])


def test_the_defaults_are_those_of_a1111s_api(server: Server) -> None:
    status, answer = server.post("sdapi/v1/txt2img", {"prompt": "a red circle on a blue background", "width": 64, "height": 64})
    assert status == 200
    assert answer["parameters"]["steps"] == 50
    assert "Sampler: Euler," in json.loads(answer["info"])["infotexts"][0]


WEBUIAPI = {
    "enable_hr": False, "hr_scale": 2, "hr_upscaler": "Latent", "hr_second_pass_steps": 0, "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": None,
    "hr_sampler_name": None, "hr_scheduler": None, "hr_prompt": "", "hr_negative_prompt": "", "denoising_strength": 0.7, "firstphase_width": 0,
    "firstphase_height": 0, "prompt": "cat", "styles": [], "seed": -1, "subseed": -1, "subseed_strength": 0.0, "seed_resize_from_h": 0,
    "seed_resize_from_w": 0, "batch_size": 1, "n_iter": 1, "steps": 2, "cfg_scale": 7.0, "width": 128, "height": 128, "restore_faces": False,
    "tiling": False, "do_not_save_samples": False, "do_not_save_grid": False, "negative_prompt": "", "eta": 1.0, "s_churn": 0, "s_tmax": 0, "s_tmin": 0,
    "s_noise": 1, "override_settings": {}, "override_settings_restore_afterwards": True, "sampler_name": "Euler a", "scheduler": "automatic",
    "sampler_index": "Euler a", "script_name": None, "script_args": [], "send_images": True, "save_images": False, "alwayson_scripts": {},
}  # fmt: skip
OPEN_WEBUI = {
    "prompt": "a house",
    "batch_size": 1,
    "width": 128,
    "height": 128,
    "steps": 2,
    "negative_prompt": "",
    "sampler_name": "Euler",
    "cfg_scale": 5,
}
SILLY_TAVERN = {
    "prompt": "a house", "negative_prompt": "", "sampler_name": "DPM++ 2M", "scheduler": "karras", "steps": 2, "cfg_scale": 7, "width": 128, "height": 128,
    "restore_faces": False, "enable_hr": False, "hr_upscaler": "Latent", "hr_scale": 2, "hr_additional_modules": [], "denoising_strength": 0.7,
    "hr_second_pass_steps": 0, "seed": 5, "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic", "forge_additional_modules": []},
    "override_settings_restore_afterwards": True, "clip_skip": 1, "save_images": True, "send_images": True, "do_not_save_grid": False,
}  # fmt: skip


@pytest.mark.parametrize("body", [WEBUIAPI, OPEN_WEBUI, SILLY_TAVERN], ids=["webuiapi", "open-webui", "sillytavern"])
def test_what_living_clients_send_is_taken(server: Server, body: dict[str, Any]) -> None:
    status, answer = server.post("sdapi/v1/txt2img", body)
    assert status == 200, answer
    assert len(answer["images"]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 130}, "multiples of 8"),
        ({"steps": 10_000}, "from 1 to 150"),
        ({"cfg_scale": float("nan")}, "must be a number"),
        ({"prompt": "x" * 100_000}, "100,000 characters"),
        ({"sampler_name": "Nonsense"}, "is not a sampler"),
        ({"scheduler": "Nonsense"}, "is not a schedule type"),
        ({"override_settings": {"sd_model_checkpoint": "nowhere"}}, "no model named"),
        ({"enable_hr": True, "hr_checkpoint_name": "other"}, "no model named"),
        ({"styles": ["cinematic"]}, "not available in this version"),
        ({"script_name": "x/y/z plot"}, "is not here"),
    ],
)
def test_bad_values_get_a_422_with_a_sentence(server: Server, change: dict[str, Any], words: str) -> None:
    status, answer = server.post("sdapi/v1/txt2img", {**BODY, **change})
    assert status == 422
    assert words in answer["detail"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b'{"prompt": 5}', b'{"width": "wide"}', b"\xff\xfe"])
def test_garbage_gets_a_422_too(server: Server, raw: bytes) -> None:
    request = urllib.request.Request(f"{server.url}/sdapi/v1/txt2img", raw, {"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 422


def test_lists(server: Server) -> None:
    models = server.get("sdapi/v1/sd-models")
    starter = next(model for model in models if model["model_name"] == "starter")
    assert starter["title"] == f"starter [{starter['sha256'][:10]}]"
    assert server.post("sdapi/v1/txt2img", {**BODY, "steps": 1, "override_settings": {"sd_model_checkpoint": starter["title"]}})[0] == 200
    assert {"name", "aliases", "options"} == set(server.get("sdapi/v1/samplers")[0])
    assert {"name": "karras", "label": "Karras", "aliases": None, "default_rho": 7.0, "need_inner_model": False} in server.get("sdapi/v1/schedulers")
    assert server.get("sdapi/v1/options")["sd_model_checkpoint"] == starter["title"]


def test_progress_and_interrupt(server: Server) -> None:
    idle = server.get("sdapi/v1/progress")
    assert (idle["progress"], idle["state"]["job_count"]) == (0.0, 0)
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(server.post("sdapi/v1/txt2img", {**BODY, "steps": 150, "n_iter": 20})))
    thread.start()
    wait_until(lambda: server.get("sdapi/v1/progress")["state"]["sampling_step"] >= 2)
    running = server.get("sdapi/v1/progress")
    assert 0.01 <= running["progress"] < 1
    assert running["eta_relative"] > 0
    assert running["state"]["sampling_steps"] == 150
    wait_until(lambda: server.get("sdapi/v1/progress")["current_image"])
    assert server.post("sdapi/v1/interrupt")[0] == 200
    thread.join(60)
    assert (answers and "Stopped" in str(answers[0][1])) or answers[0][0] == 200
    wait_until(lambda: server.get("sdapi/v1/progress")["state"]["job_count"] == 0)


def test_a_killed_worker_is_a_500_with_the_reason_and_the_server_goes_on(server: Server) -> None:
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(server.post("sdapi/v1/txt2img", {**BODY, "steps": 150, "n_iter": 20})))
    thread.start()
    wait_until(lambda: server.get("sdapi/v1/progress")["state"]["sampling_step"] >= 1)
    os.kill(server.worker_pid(), signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    thread.join(60)
    assert answers[0][0] == 500
    assert "worker process was killed" in answers[0][1]["detail"]
    assert server.post("sdapi/v1/txt2img", {**BODY, "steps": 2})[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["sdapi/v1/interrupt", "internal/open-folder", "gradio_api/upload"])
def test_other_web_pages_are_turned_away(server: Server, headers: dict[str, str], status: int, path: str) -> None:
    request = urllib.request.Request(f"{server.url}/{path}", b"{}", {"content-type": "application/json", **headers})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == status


@pytest.mark.parametrize("path", ["gradio_api/file=https://example.com/x.png", "gradio_api/proxy=https://example.com", "monitoring", "gradio_api/runs",
                                  "gradio_api/file=/etc/passwd", "gradio_api/file=app.py", "internal/job/../../etc/passwd", "internal/job/x/image/0.png"])  # fmt: skip
def test_doors_that_are_shut(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/{path}", timeout=30)
    assert caught.value.code in (403, 404)


def test_a_port_in_use(server: Server) -> None:
    import subprocess

    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, str(Path(__file__).parent.parent / "app.py"), "--no-browser", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert ended.returncode == 1
    assert f"Port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_port_the_next_free_one_is_taken_and_said() -> None:
    from app import bind

    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        port = first.getsockname()[1]
        with bind("127.0.0.1", port, exactly=False) as second:
            assert port < second.getsockname()[1] < port + 20


def test_pictures_that_could_not_be_saved_can_be_downloaded(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("in the way")
    broken = start_server(tmp_path)
    try:
        wait_until(lambda: broken.worker_state() == "ready")
        status, answer = broken.post("sdapi/v1/txt2img", {**BODY, "steps": 2, "save_images": True})
        assert status == 500 and "could not be saved" in answer["detail"]
        job = broken.get(f"internal/job/{broken.get('internal/jobs/newest')['job']}")
        assert job["state"] == "failed" and job["pictures"][0]["saved"] is False
        with urllib.request.urlopen(f"{broken.url}/{job['pictures'][0]['url']}?download=1", timeout=30) as download:
            assert download.headers["content-disposition"].startswith("attachment")
            assert Image.open(io.BytesIO(download.read())).size == (128, 128)
    finally:
        stop_server(broken)


def png(picture: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def test_img2img_with_a_mask_keeps_what_is_not_masked_and_echoes_no_pictures(server: Server) -> None:
    """A1111's defaults: fill, only masked, no padding."""
    before, files = Image.effect_noise((96, 80), 60).convert("RGB"), sorted(server.outputs.rglob("*.png"))
    mask = Image.new("RGB", before.size)
    mask.paste("white", (30, 20, 60, 50))
    body = {**BODY, "width": 64, "height": 64, "init_images": ["data:image/png;base64," + png(before)], "mask": png(mask), "mask_blur": 0}
    status, answer = server.post("sdapi/v1/img2img", body)
    assert status == 200, answer
    after = picture(answer["images"][0])
    assert after.size == before.size
    inside = (30, 20, 60, 50)
    assert after.crop(inside).tobytes() != before.crop(inside).tobytes()
    for one in (after, before):
        one.paste("white", inside)
    assert after.tobytes() == before.tobytes()
    assert answer["parameters"]["init_images"] is None and answer["parameters"]["mask"] is None
    info = json.loads(answer["info"])
    assert info["denoising_strength"] == 0.75
    assert "Inpaint area: Only masked" in info["infotexts"][0] and "Masked content: fill" in info["infotexts"][0]
    assert sorted(server.outputs.rglob("*.png")) == files


def test_txt2img_with_hires_fix_gives_the_larger_picture(server: Server) -> None:
    body = {**BODY, "enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent (nearest)", "denoising_strength": 0.4, "hr_second_pass_steps": 3}
    status, answer = server.post("sdapi/v1/txt2img", body)
    assert status == 200, answer
    assert [picture(one).size for one in answer["images"]] == [(192, 192)]
    assert "Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Latent (nearest)" in json.loads(answer["info"])["infotexts"][0]


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({}, "init_images", "no picture to start from"),
        ({"init_images": ["https://example.com/a.png"]}, "init_images", "not fetched"),
        ({"init_images": ["not base64!"]}, "init_images", "not base64"),
        ({"init_images": [base64.b64encode(b"hello, this is text").decode()]}, "init_images", "not a picture"),
        ({"init_images": [png(Image.new("RGB", (64, 64)))[:60]]}, "init_images", "damaged"),
        ({"init_images": [png(Image.new("1", (20_000, 20_000)))]}, "init_images", "million pixels"),
        ({"init_images": [png(Image.new("RGB", (64, 64)))], "mask": png(Image.new("L", (64, 64)))}, "mask", "nothing is masked"),
        ({"init_images": [png(Image.new("RGB", (64, 64)))], "denoising_strength": 1.5}, "image.denoising_strength", "from 0 to 1"),
        ({"init_images": [png(Image.new("RGB", (64, 64)))], "resize_mode": 9}, "resize_mode", "Crop and resize"),
    ],
)
def test_img2img_says_what_is_wrong_with_a_picture(server: Server, change: dict[str, Any], field: str, part: str) -> None:
    status, answer = server.post("sdapi/v1/img2img", {**BODY, **change})
    assert status == 422
    assert part in answer["fields"][field]
