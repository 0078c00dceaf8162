"""Say which build of torch suits this machine, and whether the installed one computes here."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from backend.errors import StartFailed

CUDA_BUILD = "cu130"
ROCM_BUILD = "rocm7.2"
BUILD_INDEX = "https://download.pytorch.org/whl/"

AMD_VENDOR, NVIDIA_VENDOR = "0x1002", "0x10de"  # PCI vendor numbers


@dataclass(frozen=True)
class Machine:
    """What decides the build: `system` and `architecture` are spelled as the `platform` module spells them."""

    system: str
    architecture: str
    bits: int
    nvidia: bool
    amd: bool


@dataclass(frozen=True)
class TorchCheck:
    """The outcome of one tensor operation: the device that answered, None where none did, and what is wrong, if anything is."""

    version: str
    device: str | None
    problem: str | None


def look_at_machine(root: Path = Path("/")) -> Machine:
    """Find out what this machine is from its files alone, so that no driver has to work; `root` is where its file system begins."""
    system = platform.system()
    vendors = {_first_line(path) for path in root.glob("sys/class/drm/card*/device/vendor")}
    nvidia_files = {
        "Linux": ["proc/driver/nvidia/version", "dev/nvidiactl", "usr/lib/wsl/lib/libcuda.so.1"],
        "Windows": ["Windows/System32/nvcuda.dll"],
    }
    if system == "Windows":
        root = Path(os.environ.get("SYSTEMDRIVE", "C:") + "/") if root == Path("/") else root
    return Machine(
        system=system,
        architecture=platform.machine().lower(),
        bits=64 if sys.maxsize > 2**32 else 32,
        nvidia=NVIDIA_VENDOR in vendors or any((root / name).exists() for name in nvidia_files.get(system, [])),
        amd=AMD_VENDOR in vendors or (root / "dev/kfd").exists(),
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip().lower()
    except OSError:
        return ""


def pip_arguments(machine: Machine, pins: dict[str, str]) -> list[str]:
    """What to add to `pip install` so that the pinned torch comes in the build that suits the machine.

    Raises StartFailed where there is none. The default index serves CUDA builds on Linux, plain ones on Windows, Metal on macOS.
    """
    if machine.bits < 64:
        raise StartFailed("This is a 32-bit Python, for which there is no torch: install a 64-bit Python and start again.")
    if machine.system == "Darwin" and machine.architecture == "x86_64":
        raise StartFailed("There is no current torch for Macs with an Intel processor, or for an Intel Python on Apple silicon.")
    intel = machine.architecture in ("x86_64", "amd64")
    build = None
    if machine.system == "Windows" and intel and machine.nvidia:
        build = CUDA_BUILD
    elif machine.system == "Linux" and intel and machine.amd and not machine.nvidia:
        build = ROCM_BUILD
    if build is None:
        return []
    named = [f"{name}=={pins[name]}+{build}" for name in ("torch", "torchvision") if name in pins]
    return [*named, "--extra-index-url", BUILD_INDEX + build]


# Runs in the new interpreter. The processor must work; a graphics card that does not is told apart from that.
_CHECK = """
import json, sys
import torch
def compute(device):
    x = torch.ones(8, 8, device=device)
    if float((x @ x).sum()) != 512.0:
        raise RuntimeError("a matrix product on " + device + " came out wrong")
compute("cpu")
device, problem = "cpu", None
try:
    if torch.cuda.is_available():
        compute("cuda")
        device = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        compute("mps")
        device = "mps"
    elif torch.xpu.is_available():
        compute("xpu")
        device = "xpu"
except Exception as error:
    problem = str(error) or type(error).__name__
print(json.dumps([torch.__version__, device, problem]))
"""


def check_torch(python: Path, machine: Machine) -> TorchCheck:
    """Run one tensor operation in `python`, on the device that would be used and on the processor."""
    run = subprocess.run([str(python), "-c", _CHECK], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if run.returncode:
        return TorchCheck("", None, explain(run.stderr, run.returncode))
    version, device, problem = json.loads(run.stdout.splitlines()[-1])
    if problem is None and device == "cpu":
        problem = idle_card(machine, version, run.stderr)
        return TorchCheck(version, device, problem)
    return TorchCheck(version, device, problem and explain(problem, 0))


def idle_card(machine: Machine, version: str, warnings: str) -> str | None:
    """Why a graphics card that is there is not used, or None where there is none."""
    if machine.nvidia:
        if "driver" in warnings and "too old" in warnings:
            return explain(warnings, 0)
        return (
            f"The NVIDIA card is not used, because torch {version} finds no working driver for it: "
            "install NVIDIA's current driver (580 or newer) and start again."
        )
    if machine.amd and machine.system == "Linux":
        return (
            f"The AMD card is not used, because torch {version} cannot reach it through ROCm: "
            "see that the amdgpu driver is loaded and that you are in the groups render and video."
        )
    return None


# What a message of torch or of the loader contains, and what a person can do about it. The first that fits wins.
_REASONS = [
    ("libgomp", "torch needs the OpenMP library: on Debian or Ubuntu run `sudo apt install libgomp1`, on Fedora `sudo dnf install libgomp`."),
    (
        "WinError",
        "torch cannot load its libraries, which mostly means that Microsoft's Visual C++ Redistributable is missing: "
        "install it from https://aka.ms/vs/17/release/vc_redist.x64.exe and start again.",
    ),
    ("GLIBC", "This system's C library is too old for torch: a newer release of the operating system is needed."),
    ("No space left", "The disk is full: free some space and start again."),
    ("too old", "The NVIDIA driver is too old for CUDA 13: update it to version 580 or newer and start again."),
    (
        "no kernel image",
        "This graphics card is too old for torch's CUDA 13 build, which begins with the GTX 16 and RTX 20 series: start with `--device cpu`.",
    ),
    ("HIP error", "torch's ROCm build does not support this AMD card: start with `--device cpu`."),
    ("out of memory", "The graphics card's memory is full: close what else uses it and start again."),
]
_SIGNALS = {
    -4: "This processor lacks instructions that torch needs.",  # SIGILL
    -9: "The system ended the check of torch, most likely because memory ran out: close other programs and start again.",  # SIGKILL
}


def explain(output: str, return_code: int) -> str:
    """One sentence for the person at the screen about a failed check, from what it wrote and how it ended."""
    for sign, reason in _REASONS:
        if sign in output:
            return reason
    if return_code in _SIGNALS:
        return _SIGNALS[return_code]
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), f"it ended with code {return_code}")
    return f"torch is installed but does not work here ({last}): delete the folder .venv and start again, or use another Python."
