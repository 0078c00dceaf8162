"""The command line: our flags, those of other programs, and mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backend.errors import StartFailed
from backend.flags import ELSEWHERE, MEANINGLESS, SHARING, VISIBLE, Flags, parse

ROOT = Path(__file__).resolve().parent.parent


def test_nothing_given_leaves_everything_to_the_settings() -> None:
    assert parse([]) == Flags(port=None, models_dirs=(), outputs_dir=None, device="auto", browser=True, offline=False, loglevel="INFO", notices=())


def test_every_flag_arrives(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    line = f"--port 7861 --models-dir {first} --ckpt-dir={second} --models-dir {first} --outputs-dir {tmp_path / 'new'} "
    flags = parse((line + "--device cuda:1 --no-browser --offline --loglevel debug").split())
    assert flags == Flags(7861, (first.resolve(), second.resolve()), (tmp_path / "new").resolve(), "cuda:1", False, True, "DEBUG", ())


def test_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    flags = parse(["--models-dir", "mine", "--outputs-dir", "~/pictures"])
    assert flags.models_dirs == ((tmp_path / "mine").resolve(),)
    assert flags.outputs_dir == (tmp_path / "pictures").resolve()


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("--device mps", "mps"),
        ("--device xpu", "xpu"),
        ("--device cuda", "cuda"),
        ("--use-cpu all", "cpu"),
        ("--use-cpu sd interrogate", "cpu"),
        ("--always-cpu", "cpu"),
        ("--device-id 2", "cuda:2"),
        ("--use-cpu interrogate", "auto"),
    ],
)
def test_devices(line: str, device: str) -> None:
    assert parse(line.split()).device == device


def test_autolaunch_undoes_no_browser() -> None:
    assert parse(["--no-browser", "--autolaunch"]).browser


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--port 0", ["--port", "0 is not a port"]),
        ("--port 65536", ["65536 is not a port"]),
        ("--port x", ["x is not a port"]),
        ("--port", ["--port", "expected one argument"]),
        ("--device gpu", ["gpu is not a device", "cuda:1"]),
        ("--device cuda:", ["cuda: is not a device"]),
        ("--device-id x", ["cuda:x is not a device"]),
        ("--models-dir /there/is/none", ["no folder", "none"]),
        ("--loglevel loud", ["LOUD"]),
        ("--prot 7861", ["no flag --prot", "Did you mean --port?"]),
        ("--model-dir=x", ["no flag --model-dir.", "Did you mean --models-dir?"]),
        ("--xformer", ["no flag --xformer", "Did you mean --xformers?"]),
        ("--zebra", ["no flag --zebra", "--help"]),
        ("--vram-budget 8", ["no flag --vram-budget"]),
        ("--out x", ["no flag --out"]),
        ("picture.png", ["picture.png"]),
    ],
)
def test_mistakes_get_one_sentence_that_names_them(line: str, words: list[str]) -> None:
    with pytest.raises(StartFailed) as caught:
        parse(line.split())
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("flag", sorted(SHARING))
def test_sharing_is_refused_because_there_is_no_login(flag: str) -> None:
    line = [flag] if SHARING[flag] == 0 else [flag, "name:secret"]
    with pytest.raises(StartFailed, match=f"^{flag} is not available.*login.*this machine only") as caught:
        parse(["--port", "7861", *line])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("flag", sorted(ELSEWHERE))
def test_flags_of_other_programs_are_accepted_with_their_values(flag: str) -> None:
    values, _ = ELSEWHERE[flag]
    line = [flag] if values == 0 else [flag, "7"]
    flags = parse([*line, "--port", "7861"])
    assert flags.port == 7861
    (notice,) = flags.notices
    assert notice.startswith(flag + " ")
    assert parse([*line, *line]).notices == flags.notices


def test_notices_read_as_sentences_in_order() -> None:
    flags = parse(["--xformers", "--api", "--medvram", "--cors-allow-origins=*", "--directml", "--use-cpu", "interrogate"])
    assert flags.notices == (
        "--xformers means nothing here and was ignored.",
        "--api is not needed: the API is always on.",
        "--medvram is not available in this version and was ignored.",
        "--cors-allow-origins means nothing here and was ignored.",
        "--directml means nothing here and was ignored.",
        "--use-cpu interrogate means nothing here and was ignored.",
    )


# A start line from a .bat file as they are passed around, and flags that only exist so that old lines still work.
@pytest.mark.parametrize(
    "line",
    [
        "--api --xformers --medvram-sdxl --no-half-vae --opt-sdp-attention --theme dark --skip-torch-cuda-test --precision full --no-half",
        "--max-batch-count 8 --gradio-queue --deepdanbooru --unload-gfpgan --show-negative-prompt --gradio-img2img-tool color-sketch "
        "--gradio-inpaint-tool sketch --enable-console-prompts --ngrok-region eu --add-stop-route --always-batch-cond-uncond --gradio-debug",
        "--forge-ref-a1111-home C:/sd --controlnet-dir C:/cn --always-low-vram --unet-in-fp8-e4m3fn "
        "--attention-pytorch --cuda-malloc --pin-shared-memory",
    ],
)
def test_old_start_lines_still_start(line: str) -> None:
    given = [word for word in line.split() if word.startswith("--")]
    assert [notice.split()[0] for notice in parse(line.split()).notices] == given


def test_the_tables_do_not_overlap() -> None:
    tables = [set(ELSEWHERE), set(SHARING), set(VISIBLE)]
    assert len(set.union(*tables)) == sum(map(len, tables))


def test_help_is_short_and_lists_our_flags_only() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from backend.flags import parse; parse(['--help'])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert len(lines) < 30
    for flag in set(VISIBLE) - {"--autolaunch"}:
        assert flag in run.stdout
    for flag in (*ELSEWHERE, *SHARING):
        assert f"{flag} " not in run.stdout
    assert MEANINGLESS not in run.stdout
