"""Downloads, against a stand-in of the hub on this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend import preprocessors
from backend.catalogue import Catalogue, is_here
from backend.downloads import OFFLINE, Download, Downloads
from backend.errors import AtelierError, BadRequest
from backend.fetching import Patience
from backend.hub_token import HubToken
from backend.library import Library
from backend.placing import RESERVE
from backend.sources import Source, checked_name, permitted, typed
from tests.conftest import wait_until
from tests.hub import Hub, running_hub

WEIGHTS = os.urandom(700_000)
HASTE = Patience(attempts=3, pause_s=0.01)
ROOM = 10**12


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        running.repositories["someone/control"] = {"README.md": b"# A model", "control.safetensors": WEIGHTS, "control.py": b"import os"}
        yield running


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def downloads(hub: Hub, models: Path, **options: Any) -> Downloads:
    token = HubToken(models.parent / "state" / "hub-token")
    return Downloads(Catalogue(), (models,), token, endpoint=hub.url, **{"patience": HASTE, "free": lambda _: ROOM, **options})


def ended(download: Download, state: str) -> Download:
    wait_until(lambda: not download.busy, 30)
    assert download.state == state, download.sentence
    return download


def control(**values: Any) -> Source:
    return Source(title="Control", kind="controlnet", repository="someone/control", **values)


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What comes whole.


def test_a_file_comes_whole_into_its_place_and_nothing_else_stays(hub: Hub, models: Path) -> None:
    seen: list[str] = []
    made = downloads(hub, models, arrived=lambda: seen.append("looked again"))
    done = ended(made.start(control()), "done")
    assert done.target == models / "ControlNet" / "control.safetensors"
    assert (models / "ControlNet" / "control.safetensors").read_bytes() == WEIGHTS
    assert (done.total, done.received, done.checked, seen) == (len(WEIGHTS), len(WEIGHTS), True, ["looked again"])
    assert left_in(models) == ["ControlNet/control.safetensors"]


def test_a_diffusers_folder_comes_with_its_parts_alone_and_in_half_precision(hub: Hub, models: Path) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "safety_checker": ["stable_diffusion", "SafetyChecker"]}  # fmt: skip
    wanted = {
        "model_index.json": json.dumps(index).encode(), "unet/config.json": b"{}", "unet/diffusion_pytorch_model.fp16.safetensors": WEIGHTS,
        "vae/config.json": b"{ }", "vae/diffusion_pytorch_model.safetensors": WEIGHTS[:5000], "tokenizer/vocab.json": b'{"a": 1}',
    }  # fmt: skip
    others = {
        "unet/diffusion_pytorch_model.safetensors": b"1", "unet/diffusion_pytorch_model.bin": b"2", "safety_checker/model.fp16.safetensors": b"3",
        "vae_1_0/diffusion_pytorch_model.safetensors": b"4", "v1-5.safetensors": b"5", "unet/model.onnx": b"6", "README.md": b"7",
        "unet/diffusion_pytorch_model.non_ema.safetensors": b"8", "unet/evil.py": b"9",
    }  # fmt: skip
    hub.repositories["maker/picture"] = wanted | others
    made = downloads(hub, models)
    found = made.look(typed("maker/picture", "checkpoint"))
    assert (found.bytes, found.licence, found.name) == (sum(map(len, wanted.values())), "apache-2.0", "picture")
    done = ended(made.start(typed(f"{hub.url}/nothing", "checkpoint")), "failed")
    assert "no file at this address" in done.sentence
    done = ended(made.start(typed("maker/picture", "checkpoint")), "done")
    target = models / "Stable-diffusion" / "picture"
    assert {name: (target / name).read_bytes() for name in left_in(target)} == wanted
    assert left_in(models / "Stable-diffusion") == sorted(f"picture/{name}" for name in wanted)
    assert [model.name for model in Library((models,)).models] == ["picture"]


def test_several_named_files_become_a_folder(hub: Hub, models: Path) -> None:
    hub.repositories["maker/encoder"] = {"models/image/config.json": b"{}", "models/image/model.safetensors": WEIGHTS}
    files = ("models/image/config.json", "models/image/model.safetensors")
    source = Source(title="Encoder", kind="image-encoder", repository="maker/encoder", files=files, name="ViT-H")
    ended(downloads(hub, models).start(source), "done")
    assert left_in(models) == ["clip_vision/ViT-H/config.json", "clip_vision/ViT-H/model.safetensors"]


def test_an_address_comes_too_and_its_hash_is_checked(hub: Hub, models: Path) -> None:
    hub.plain["/files/4x.pth"] = WEIGHTS
    made = downloads(hub, models)
    done = ended(made.start(typed(f"{hub.url}/files/4x.pth?key=secret", "upscaler")), "done")
    assert left_in(models) == ["upscale_models/4x.pth"]
    assert not done.checked
    assert "secret" not in done.source.where
    other = Source(title="x", kind="upscaler", address=f"{hub.url}/files/4x.pth", name="y.pth", bytes=len(WEIGHTS), sha256="0" * 64)
    failed = ended(made.start(other), "failed")
    assert "not what its source says it is" in failed.sentence
    assert left_in(models) == ["upscale_models/4x.pth"]


def test_what_is_there_is_not_fetched_again_and_never_replaced(hub: Hub, models: Path) -> None:
    made = downloads(hub, models)
    ended(made.start(control()), "done")
    ended(made.start(control()), "done")
    assert len(hub.ranges("control.safetensors")) == 1
    (models / "ControlNet" / "control.safetensors").write_bytes(b"my own")
    failed = ended(made.start(control()), "failed")
    assert "is there already" in failed.sentence
    assert (models / "ControlNet" / "control.safetensors").read_bytes() == b"my own"


# What goes wrong on the way.


def test_a_connection_that_breaks_is_taken_up_where_it_was(hub: Hub, models: Path) -> None:
    hub.cuts["control.safetensors"] = [200_000, 100_000]
    done = ended(downloads(hub, models).start(control()), "done")
    assert done.target and done.target.read_bytes() == WEIGHTS
    ranges = hub.ranges("control.safetensors")
    assert ranges[0] == "" and len(ranges) == 3
    assert [int(one.removeprefix("bytes=").removesuffix("-")) > 0 for one in ranges[1:]] == [True, True]


def test_after_a_cut_a_retry_and_a_restart_go_on(hub: Hub, models: Path) -> None:
    hub.cuts["control.safetensors"] = [300_000, *[0] * 5]
    made = downloads(hub, models)
    failed = ended(made.start(control()), "failed")
    assert "0.3 MB are here and kept" in failed.sentence
    parts = [path for path in left_in(models) if path.endswith(".part")]
    assert len(parts) == 1 and (models / parts[0]).stat().st_size == 300_000
    assert Library((models,)).controls.all == ()
    hub.cuts.clear()
    made.retry(failed.id)
    ended(failed, "done")
    assert hub.ranges("control.safetensors")[-1] == "bytes=300000-"

    (models / "ControlNet" / "control.safetensors").unlink()
    hub.cuts["control.safetensors"] = [300_000, *[0] * 5]
    ended(made.start(control()), "failed")
    hub.cuts.clear()
    ended(downloads(hub, models).start(control()), "done")
    assert hub.ranges("control.safetensors")[-1] == "bytes=300000-"
    assert (models / "ControlNet" / "control.safetensors").read_bytes() == WEIGHTS


def test_halves_of_two_versions_are_never_joined(hub: Hub, models: Path) -> None:
    hub.plain["/files/4x.pth"] = WEIGHTS
    hub.cuts["/files/4x.pth"] = [300_000, *[0] * 5]
    made = downloads(hub, models)
    failed = ended(made.start(typed(f"{hub.url}/files/4x.pth", "upscaler")), "failed")
    hub.plain["/files/4x.pth"] = newer = os.urandom(600_000)
    hub.cuts.clear()
    made.retry(failed.id)
    ended(failed, "done")
    assert (models / "upscale_models" / "4x.pth").read_bytes() == newer


@pytest.mark.parametrize("lie", [os.urandom(len(WEIGHTS)), WEIGHTS[:-1]])
def test_what_is_not_what_the_hub_tells_of_is_thrown_away(hub: Hub, models: Path, lie: bytes) -> None:
    hub.lies["control.safetensors"] = lie
    made = downloads(hub, models)
    failed = ended(made.start(control()), "failed")
    assert "Press Retry" in failed.sentence
    assert not [path for path in left_in(models) if path.endswith((".safetensors", ".part")) and (models / path).stat().st_size == len(WEIGHTS)]
    hub.lies.clear()
    made.retry(failed.id)
    ended(failed, "done")


def test_a_small_file_is_checked_by_git_s_own_hash(hub: Hub, models: Path) -> None:
    hub.repositories["maker/net"] = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}
    hub.lies["config.json"] = b'{"a": 2}'
    failed = ended(downloads(hub, models).start(Source(title="Net", kind="image-encoder", repository="maker/net")), "failed")
    assert "config.json is not what its source says" in failed.sentence
    assert left_in(models / "clip_vision")[-1:] == [] or not (models / "clip_vision" / "net").exists()


def test_room_is_looked_for_first(hub: Hub, models: Path) -> None:
    made = downloads(hub, models, free=lambda _: RESERVE + len(WEIGHTS) - 1)
    failed = ended(made.start(control()), "failed")
    assert "700 kB are still to come, and only 700 kB can be used" in failed.sentence
    assert "--models-dir" in failed.sentence
    assert hub.ranges("control.safetensors") == []
    with pytest.raises(AtelierError, match="still to come"):
        made.start(control(bytes=10**9))
    hub.plain["/files/4x.pth"] = WEIGHTS  # of a length that only its answer tells
    assert "still to come" in ended(made.start(typed(f"{hub.url}/files/4x.pth", "upscaler")), "failed").sentence


def test_a_disk_that_fills_up_on_the_way_says_so(hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.plain["/files/4x.pth"] = WEIGHTS
    monkeypatch.setattr("backend.fetching._remember", full)
    assert "The disk is full" in ended(downloads(hub, models).start(typed(f"{hub.url}/files/4x.pth", "upscaler")), "failed").sentence


def test_stopping_takes_a_moment_and_keeps_what_came(hub: Hub, models: Path) -> None:
    hub.step_s = 0.1
    made = downloads(hub, models)
    first, second = made.start(control()), made.start(typed(f"{hub.url}/files/4x.pth", "upscaler"))
    wait_until(lambda: first.received > 0, 20)
    assert first.speed is None or first.speed > 0
    made.cancel(second.id)
    assert second.state == "cancelled"
    made.cancel(first.id)
    ended(first, "cancelled")
    assert [path.rsplit(".", 1)[-1] for path in left_in(models)] == ["part"]
    hub.step_s = 0
    made.retry(first.id)
    ended(first, "done")
    assert hub.ranges("control.safetensors")[-1].startswith("bytes=")


def test_what_came_of_a_stopped_one_can_be_removed(hub: Hub, models: Path) -> None:
    hub.step_s = 0.05
    made = downloads(hub, models)
    download = made.start(control())
    with pytest.raises(BadRequest, match="still under way"):
        made.remove(download.id)
    wait_until(lambda: download.received > 0, 20)
    made.cancel(download.id)
    ended(download, "cancelled")
    made.remove(download.id)
    assert (left_in(models), made.all) == ([], ())


# Who may have it.


def test_a_gated_repository_says_what_to_do_with_no_token_and_with_one(hub: Hub, models: Path) -> None:
    hub.gated.add("someone/control")
    made = downloads(hub, models)
    failed = ended(made.start(control()), "failed")
    assert "Accept it on https://huggingface.co/someone/control, make a token" in failed.sentence
    made.token.keep("hf_not_accepted_yet")
    made.retry(failed.id)
    ended(failed, "failed")
    assert "has not accepted the licence of someone/control yet" in failed.sentence
    hub.accepted.add("hf_not_accepted_yet")
    made.retry(failed.id)
    ended(failed, "done")
    assert all("authorization" not in headers for _, path, headers in hub.asked if path.startswith("/plain"))


def test_the_token_goes_to_the_hub_alone(hub: Hub, models: Path) -> None:
    hub.plain["/files/4x.pth"] = WEIGHTS
    with running_hub() as elsewhere:
        elsewhere.plain["/4x.pth"] = WEIGHTS
        hub.redirects["/away.pth"] = f"{elsewhere.url}/4x.pth"
        made = downloads(hub, models)
        made.token.keep("hf_very_secret_token")
        ended(made.start(typed(f"{hub.url}/away.pth", "upscaler")), "done")
        assert [headers.get("authorization") for _, _, headers in hub.asked] == ["Bearer hf_very_secret_token"]
        assert [headers.get("authorization") for _, _, headers in elsewhere.asked] == [None]


def test_the_token_is_its_owner_s_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    token = HubToken(tmp_path / "state" / "hub-token")
    assert (token.value(), token.origin) == ("", "")
    monkeypatch.setenv("HF_TOKEN", "hf_from_environment")
    assert (token.value(), token.origin) == ("hf_from_environment", "environment")
    token.keep(" hf_entered_in_page\n")
    assert (token.value(), token.origin) == ("hf_entered_in_page", "entered")
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "state" / "hub-token").stat().st_mode) == 0o600
    with pytest.raises(BadRequest) as refused:
        token.keep("not a token; rm -rf")
    assert "rm -rf" not in refused.value.sentence
    token.keep("")
    assert token.origin == "environment"


def test_an_unknown_repository_and_an_unreachable_hub_are_told_apart(hub: Hub, models: Path) -> None:
    failed = ended(downloads(hub, models).start(typed("no/such", "controlnet")), "failed")
    assert "shows no repository no/such" in failed.sentence
    hub.url = "http://127.0.0.1:9"
    failed = ended(downloads(hub, models).start(control()), "failed")
    assert "could not be reached" in failed.sentence


# What may come in at all.


@pytest.mark.parametrize("name", ["run.py", "run.sh", "model.exe", "model.safetensors.exe", "readme", "a.zip", "a.html"])
def test_what_is_no_model_is_refused(name: str, hub: Hub, models: Path) -> None:
    with pytest.raises(AtelierError, match="not a kind of file that models come in"):
        checked_name(name, (".safetensors", ".pth"))
    hub.plain[f"/files/{name}"] = WEIGHTS
    failed = ended(downloads(hub, models).start(typed(f"{hub.url}/files/{name}", "upscaler")), "failed")
    assert "not a kind of file" in failed.sentence
    assert not (models / "upscale_models" / name).exists()


def test_a_repository_cannot_name_a_path_outside(hub: Hub, models: Path) -> None:
    index = {"_class_name": "X", "..": ["a", "b"], "unet": ["a", "b"]}
    texts = {"model_index.json": json.dumps(index).encode(), "../config.json": b"{}", "unet/config.json": b"{}"}
    hub.repositories["maker/evil"] = {**texts, "../evil.safetensors": WEIGHTS}
    failed = ended(downloads(hub, models).start(typed("maker/evil", "checkpoint")), "failed")
    assert "not a name that a file may have" in failed.sentence
    assert left_in(models.parent) == []


@pytest.mark.parametrize("path", ["../../evil.safetensors", "/evil.safetensors", "a/../../evil.safetensors"])
def test_a_single_file_keeps_nothing_of_its_path(hub: Hub, models: Path, path: str) -> None:
    hub.repositories["maker/evil"] = {path: WEIGHTS}
    assert [file.target for file in downloads(hub, models).look(typed("maker/evil", "controlnet")).files] == ["evil.safetensors"]


def test_a_redirect_off_this_machine_is_refused_before_it_is_followed(hub: Hub, models: Path) -> None:
    hub.redirects["/x.pth"] = "http://example.org/x.pth"
    failed = ended(downloads(hub, models).start(typed(f"{hub.url}/x.pth", "upscaler")), "failed")
    assert "not https" in failed.sentence


# Offline.


def test_offline_nothing_is_asked_for_and_no_socket_is_opened(hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    made = downloads(hub, models, offline=True)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    for work in (lambda: made.start(control()), lambda: made.look(control()), lambda: made.retry("x")):
        with pytest.raises(AtelierError) as refused:
            work()
        assert refused.value.sentence == OFFLINE
    assert (made.all, hub.asked) == ((), [])


# The catalogue.


def test_the_catalogue_says_all_that_somebody_wants_to_know_first(tmp_path: Path) -> None:
    catalogue = Catalogue()
    for source in catalogue.sources:
        assert source.bytes > 0 and source.licence and source.sentence and source.name, source.id
        assert bool(source.repository) != bool(source.address), source.id
        assert not source.address or permitted(source.address)
        assert source.memory_gb in ((4, 6, 8, 12, 16, 24) if source.kind == "checkpoint" else (0,)), source.id
        assert not is_here(source, (tmp_path,))
    assert {source.memory_gb for source in catalogue.sources} >= {4, 8, 12, 24}


def test_the_catalogue_has_every_preprocessor_s_weights(tmp_path: Path) -> None:
    listed = {source.name for source in Catalogue().sources if source.kind == "preprocessor"}
    assert listed == {weights.file for row in preprocessors.ROWS for weights in row.weights}
    source = Catalogue().find("preprocessor-netG.pth")
    assert source
    (tmp_path / "annotators").mkdir()
    (tmp_path / "annotators" / "netG.pth").write_bytes(b"1")
    assert is_here(source, (tmp_path,))


def test_preprocessors_weights_are_found_deeper_in_their_repository(hub: Hub, models: Path) -> None:
    source = Catalogue().find("preprocessor-MTEED.pth")
    assert source
    hub.repositories[source.repository] = {"Anyline/MTEED.pth": WEIGHTS}
    ended(downloads(hub, models).start(source), "done")
    assert left_in(models) == ["ControlNet/annotators/MTEED.pth"]
    assert hashlib.sha256((models / "ControlNet/annotators/MTEED.pth").read_bytes()).digest() == hashlib.sha256(WEIGHTS).digest()
