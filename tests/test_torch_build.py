"""Which build of torch a machine gets, and what is said when the installed one does not compute."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backend.environment import pinned
from backend.errors import StartFailed
from backend.torch_build import Machine, check_torch, explain, idle_card, look_at_machine, pip_arguments

ROOT = Path(__file__).resolve().parent.parent

PINS = {"torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6"}
PLAIN: list[str] = []
CUDA = ["torch==2.14.1+cu130", "torchvision==0.29.1+cu130", "--extra-index-url", "https://download.pytorch.org/whl/cu130"]
ROCM = ["torch==2.14.1+rocm7.2", "torchvision==0.29.1+rocm7.2", "--extra-index-url", "https://download.pytorch.org/whl/rocm7.2"]


@pytest.mark.parametrize(
    ("system", "architecture", "nvidia", "amd", "expected"),
    [
        ("Linux", "x86_64", True, False, PLAIN),
        ("Linux", "x86_64", False, False, PLAIN),
        ("Linux", "x86_64", True, True, PLAIN),
        ("Linux", "x86_64", False, True, ROCM),
        ("Linux", "aarch64", True, False, PLAIN),
        ("Linux", "aarch64", False, True, PLAIN),
        ("Windows", "amd64", True, False, CUDA),
        ("Windows", "amd64", False, False, PLAIN),
        ("Windows", "amd64", False, True, PLAIN),
        ("Windows", "arm64", True, False, PLAIN),
        ("Darwin", "arm64", False, False, PLAIN),
    ],
)
def test_the_build_of_torch_suits_the_machine(system: str, architecture: str, nvidia: bool, amd: bool, expected: list[str]) -> None:
    assert pip_arguments(Machine(system, architecture, 64, nvidia, amd), PINS) == expected


@pytest.mark.parametrize(("system", "architecture", "bits", "word"), [("Windows", "amd64", 32, "32-bit"), ("Darwin", "x86_64", 64, "Intel")])
def test_machines_without_a_torch_get_a_sentence(system: str, architecture: str, bits: int, word: str) -> None:
    with pytest.raises(StartFailed, match=word):
        pip_arguments(Machine(system, architecture, bits, False, False), PINS)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /sys and /proc")
@pytest.mark.parametrize(
    ("path", "text", "nvidia", "amd"),
    [
        ("sys/class/drm/card0/device/vendor", "0x10de\n", True, False),
        ("sys/class/drm/card1/device/vendor", "0x1002\n", False, True),
        ("sys/class/drm/card0/device/vendor", "0x8086\n", False, False),
        ("dev/kfd", "", False, True),
        ("proc/driver/nvidia/version", "", True, False),
        ("usr/lib/wsl/lib/libcuda.so.1", "", True, False),
    ],
)
def test_graphics_cards_are_found_by_their_files(tmp_path: Path, path: str, text: str, nvidia: bool, amd: bool) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text, encoding="ascii")
    machine = look_at_machine(tmp_path)
    assert (machine.nvidia, machine.amd) == (nvidia, amd)


# The trial of torch

NO_CARD = Machine("Linux", "x86_64", 64, False, False)


def test_torch_computes_here() -> None:
    check = check_torch(Path(sys.executable), NO_CARD)
    assert check.problem is None
    assert check.device is not None
    assert check.version.split("+")[0] == pinned(ROOT / "requirements.txt")["torch"]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("raise OSError('libgomp.so.1: cannot open shared object file: No such file or directory')", "libgomp1"),
        ("raise OSError('[WinError 126] The specified module could not be found. Error loading c10.dll')", "Visual C++"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("raise ImportError('something new')", "ImportError: something new"),
    ],
)
def test_a_torch_that_does_not_load_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, word: str) -> None:
    (tmp_path / "torch.py").write_text(source, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = check_torch(Path(sys.executable), NO_CARD)
    assert check.device is None
    assert word in str(check.problem)


BROKEN_CARD = """
__version__ = "2.14.1"
class ones:
    def __init__(self, *size, device):
        if device == "cuda":
            raise RuntimeError("no kernel image is available for execution on the device")
    def __matmul__(self, other):
        return self
    def sum(self):
        return 512.0
class cuda:
    is_available = staticmethod(lambda: True)
"""


def test_a_card_that_fails_leaves_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text(BROKEN_CARD, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = check_torch(Path(sys.executable), NO_CARD)
    assert check.device == "cpu"
    assert "too old for torch's CUDA 13 build" in str(check.problem)


def test_a_card_that_lies_idle_is_explained() -> None:
    nvidia, amd = Machine("Linux", "x86_64", 64, True, False), Machine("Linux", "x86_64", 64, False, True)
    assert idle_card(NO_CARD, "2", "") is None
    assert "580 or newer" in str(idle_card(nvidia, "2", "UserWarning: The NVIDIA driver on your system is too old (found version 12040)."))
    assert "580 or newer" in str(idle_card(nvidia, "2", ""))
    assert "amdgpu" in str(idle_card(amd, "2", ""))


def test_an_unknown_failure_is_quoted() -> None:
    assert "(it ended with code 3)" in explain("", 3)
    assert "(the last line)" in explain("first\nthe last line\n\n", 1)
