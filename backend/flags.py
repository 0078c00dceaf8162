"""Read the command line: what Atelier is started with, in the words that users of this field know."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from backend.errors import StartFailed

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Flags:
    """What the command line asks for. None and () leave it to the settings."""

    port: int | None = None
    """1 to 65535: this port or none. None: 7860, or the next free one."""
    models_dirs: tuple[Path, ...] = ()
    """Absolute folders to search for models beside `models/`."""
    outputs_dir: Path | None = None
    device: str = "auto"
    """auto, cpu, cuda, cuda:N, mps or xpu."""
    browser: bool = True
    offline: bool = False
    """Nothing may be fetched, even where the user asks for a download."""
    loglevel: str = "INFO"
    notices: tuple[str, ...] = ()
    """One sentence for each flag that was accepted and ignored."""


def parse(argv: Sequence[str]) -> Flags:
    """`argv` is what follows `app.py`. Raises StartFailed with one sentence; --help prints and exits."""
    parser = _parser()
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        raise StartFailed(_about_unknown(unknown[0]))
    return Flags(
        port=values.port,
        models_dirs=tuple(dict.fromkeys(values.models_dirs)),
        outputs_dir=values.outputs_dir,
        device=values.device,
        browser=values.browser,
        offline=values.offline,
        loglevel=values.loglevel,
        notices=tuple(dict.fromkeys(values.notices)),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartFailed(f"{message[0].upper()}{message[1:]}. `python3 app.py --help` lists the flags.")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python3 app.py",
        usage="%(prog)s [flags]",
        description="Atelier, a private image studio. It answers on http://127.0.0.1:7860, on this machine only.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.set_defaults(notices=[])
    files = parser.add_argument_group("files")
    files.add_argument(
        "--models-dir", "--ckpt-dir", dest="models_dirs", type=_folder, action="append", default=[], metavar="DIR",
        help="also look for models here; an A1111 or ComfyUI models folder will do; may be given more than once",
    )  # fmt: skip
    files.add_argument("--outputs-dir", type=_path, metavar="DIR", help="where pictures are saved")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", type=_device, default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps or xpu")
    machine.add_argument("--offline", action="store_true", help="fetch nothing, even when a download is asked for")
    page = parser.add_argument_group("page")
    page.add_argument("--port", type=_port, metavar="N", help="this port and no other; without it 7860, or the next free one")
    page.add_argument("--no-browser", dest="browser", action="store_false", help="do not open the page in a browser")
    more = parser.add_argument_group("more")
    more.add_argument("--loglevel", type=str.upper, choices=LOG_LEVELS, default="INFO", metavar="L", help="debug, info, warning or error")
    more.add_argument("-h", "--help", action="help", help="show this and stop")
    _add_known_from_elsewhere(parser)
    return parser


def _add_known_from_elsewhere(parser: argparse.ArgumentParser) -> None:
    """The flags of A1111 and Forge, none of which --help lists."""

    def add(flag: str, **kind: Any) -> None:
        parser.add_argument(flag, help=argparse.SUPPRESS, **kind)

    add("--autolaunch", dest="browser", action="store_true")
    add("--use-cpu", nargs="+", action=_UseCpu, metavar="WHAT")
    add("--always-cpu", dest="device", action="store_const", const="cpu")
    add("--device-id", dest="device", type=_card, metavar="N")
    for flag, values in SHARING.items():
        add(flag, nargs=values, action=_Refuse)
    for flag, (values, notice) in ELSEWHERE.items():
        add(flag, nargs=values, action=_Ignore, const=notice)


class _UseCpu(argparse.Action):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        if {"all", "sd"} & set(values):
            namespace.device = "cpu"
        else:
            namespace.notices.append(MEANINGLESS.format(f"--use-cpu {' '.join(values)}"))


class _Refuse(argparse.Action):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        raise StartFailed(
            f"{option_string} is not available in this version: sharing needs a login, which is not built yet, "
            "so Atelier answers on this machine only. Start it without the flag."
        )


class _Ignore(argparse.Action):
    """Notes that a flag was ignored; `const` is the sentence."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        namespace.notices.append(str(self.const).format(option_string))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, which is a number from 1 to 65535")
    return int(text)


def _device(text: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,3})?", text) is None:
        raise argparse.ArgumentTypeError(f"{text} is not a device; auto, cpu, cuda, cuda:1, mps and xpu are")
    return text


def _card(text: str) -> str:
    return _device(f"cuda:{text}")


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()


def _folder(text: str) -> Path:
    path = _path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path}")
    return path


def _about_unknown(text: str) -> str:
    if not text.startswith("-"):
        return f"Atelier is started with flags only, and {text} is none. `python3 app.py --help` lists them."
    flag = text.split("=")[0]
    near = difflib.get_close_matches(flag, VISIBLE, n=1) or difflib.get_close_matches(flag, [*ELSEWHERE, *SHARING], n=1, cutoff=0.8)
    hint = f"Did you mean {near[0]}?" if near else "`python3 app.py --help` lists the flags."
    return f"There is no flag {flag}. {hint}"


# The tables. A word of flags -> how many values argparse lets each take: 0, 1, "?" (one or none), "+" (one or more).

VISIBLE = ("--models-dir", "--ckpt-dir", "--outputs-dir", "--device", "--offline", "--port", "--no-browser", "--autolaunch", "--loglevel", "--help")

SHARING: dict[str, Any] = {
    "--listen": 0, "--share": 0, "--auth": 1, "--gradio-auth": 1, "--gradio-auth-path": 1, "--api-auth": 1, "--server-name": 1, "--ngrok": 1,
}  # fmt: skip

MEANINGLESS = "{} means nothing here and was ignored."
_NOT_YET = "{} is not available in this version and was ignored."
_OTHER_FOLDER = "{} was ignored: give --models-dir the folder that holds all models, and its sub-folders are found by their names."
_FILE_CHOICE = "{} was ignored: choose the model on the page."
_API_IS_ON = "{} is not needed: the API is always on."

_WORDS: list[tuple[str, Any, str]] = [
    (_API_IS_ON, 0, "--api"),
    (_NOT_YET, 0, "--medvram --medvram-sdxl --lowvram"),
    (_FILE_CHOICE, 1, "--ckpt --vae-path"),
    (
        _OTHER_FOLDER, 1,
        "--data-dir --vae-dir --lora-dir --embeddings-dir --hypernetwork-dir --esrgan-models-path --realesrgan-models-path "
        "--dat-models-path --swinir-models-path --scunet-models-path --bsrgan-models-path --gfpgan-models-path --gfpgan-dir "
        "--gfpgan-model --codeformer-models-path --clip-models-path --forge-ref-a1111-home --forge-ref-comfy-home --controlnet-dir "
        "--controlnet-preprocessor-models-dir",
    ),
    (
        MEANINGLESS, 0,
        # page
        "--disable-tls-verify --no-gradio-queue --gradio-queue --gradio-debug --enable-insecure-extension-access --hide-ui-dir-config "
        "--freeze-settings --allow-code --administrator --ui-debug-mode --nowebui --no-progressbar-hiding --use-textbox-seed "
        "--disable-console-progressbars --api-log --api-server-stop --add-stop-route --show-negative-prompt --enable-console-prompts "
        # memory, precision, attention
        "--lowram --no-half --no-half-vae --upcast-sampling --use-ipex --opt-channelslast --disable-nan-check "
        "--always-batch-cond-uncond --disable-model-loading-ram-optimization --xformers --force-enable-xformers "
        "--xformers-flash-attention --disable-xformers --opt-sdp-attention --opt-sdp-no-mem-attention --opt-sub-quad-attention "
        "--opt-split-attention --opt-split-attention-v1 --opt-split-attention-invokeai --disable-opt-split-attention "
        # launcher
        "--skip-install --skip-prepare-environment --skip-python-version-check --skip-torch-cuda-test --skip-version-check "
        "--skip-load-model-at-start --reinstall-torch --reinstall-xformers --update-check --update-all-extensions --test-server "
        "--log-startup --dump-sysinfo --no-hashing --no-download-sd-model --do-not-download-clip --disable-safe-unpickle "
        "--disable-all-extensions --disable-extra-extensions --no-prompt-history --unix-filenames-sanitization --deepdanbooru "
        "--unload-gfpgan "
        # Forge
        "--always-gpu --always-high-vram --always-normal-vram --always-low-vram --always-no-vram --always-offload-from-vram "
        "--unet-in-bf16 --unet-in-fp16 --unet-in-fp8-e4m3fn --unet-in-fp8-e5m2 --attention-split --attention-quad --attention-pytorch "
        "--cuda-malloc --cuda-stream --pin-shared-memory",
    ),
    (MEANINGLESS, "?", "--directml"),
    (
        MEANINGLESS, 1,
        "--ngrok-options --ngrok-region --tls-keyfile --tls-certfile --cors-allow-origins --cors-allow-origins-regex --subpath "
        "--gradio-allowed-path --theme --timeout-keep-alive --freeze-settings-in-sections --freeze-specific-settings "
        "--gradio-img2img-tool --gradio-inpaint-tool --max-batch-count --config --styles-file --ui-config-file --ui-settings-file "
        "--localizations-dir --textual-inversion-templates-dir --precision --sub-quad-q-chunk-size --sub-quad-kv-chunk-size "
        "--sub-quad-chunk-threshold --filenames-max-length",
    ),
]  # fmt: skip

ELSEWHERE: dict[str, tuple[Any, str]] = {flag: (values, notice) for notice, values, flags in _WORDS for flag in flags.split()}
