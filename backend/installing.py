"""Make a virtual environment and install a requirements file into it, with progress to see and a sentence where it fails."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

from backend import torch_build
from backend.errors import StartFailed

SCRATCH = "atelier-setup-files"

DISK_FULL = "The disk is full: make about 10 GB of room and start again."

# What pip writes, and what a person can do about it. The first that fits wins.
_PIP_REASONS = [
    (("No space left", "Errno 28", "not enough space"), DISK_FULL),
    (
        ("NewConnectionError", "NameResolutionError", "name resolution", "getaddrinfo failed", "unreachable", "Connection refused", "ConnectTimeout"),
        "The packages cannot be fetched, because there is no connection: see to the network or the proxy and start again.",
    ),
    (("ReadTimeout", "Read timed out", "IncompleteRead", "Connection broken", "reset by peer"), "The connection broke off: start again to go on."),
    (("ProxyError",), "The proxy refuses the connection: see to HTTPS_PROXY and start again."),
    (
        ("CERTIFICATE_VERIFY_FAILED", "SSLError"),
        "The connection cannot be trusted: see to the clock and the certificates of this machine and start again.",
    ),
    (
        ("Permission denied", "Access is denied", "WinError 5"),
        "A file cannot be written: close other copies of Atelier, see to the folder's rights, start again.",
    ),
    (("No matching distribution",), "A package has no version for this Python or machine: Python 3.11 to 3.13 on a common 64-bit system works."),
]


def make_venv(venv: Path, keep: set[str]) -> None:
    """Make `venv`; what an interrupted attempt left there is removed, but for the names in `keep`."""
    lacking = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if lacking:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise StartFailed(f"This Python comes without its module {lacking[0]}: on Debian or Ubuntu run `sudo apt install {package}` and start again.")
    print("Making .venv.", flush=True)
    for entry in venv.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    outer = getattr(sys, "_base_executable", None) or sys.executable  # this interpreter may be the one in `venv`
    run = subprocess.run([outer, "-m", "venv", str(venv)], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if run.returncode:
        if shutil.disk_usage(venv).free < 100 * 2**20:  # pip alone takes 15 MB, and an overfull disk reads as some bytes free
            raise StartFailed(DISK_FULL)
        raise StartFailed(f"The environment {venv} cannot be made: {_last_line(run.stderr + run.stdout)}")


def is_sound(python: Path) -> bool:
    """Whether the interpreter starts and pip is complete in it."""
    return python.exists() and subprocess.run([str(python), "-c", "import pip._internal"], capture_output=True).returncode == 0


def version_of(python: Path) -> str:
    """Such as "python 3.11", as `python` itself says."""
    code = "import sys; print('python %d.%d' % sys.version_info[:2])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def install(venv: Path, python: Path, requirements: Path, pins: dict[str, str]) -> None:
    """Install `requirements` with pip, whose output shows, and try torch where that is among the pins."""
    machine = torch_build.look_at_machine()
    extra = torch_build.pip_arguments(machine, pins) if "torch" in pins else []
    _remove_half_installed(venv)
    print(f"Installing {len(pins)} packages and what they need, some gigabytes in all." if "torch" in pins else "Installing packages.", flush=True)
    _pip_install(venv, python, ["-r", str(requirements), *extra])
    if "torch" in pins:
        _try_torch(python, machine)


def _remove_half_installed(venv: Path) -> None:
    """pip writes INSTALLER last; it would take a package without one for installed, and leave it in pieces."""
    for folder in venv.glob("[Ll]ib/**/site-packages/*.dist-info"):
        if not (folder / "INSTALLER").exists():
            shutil.rmtree(folder)


def _pip_install(venv: Path, python: Path, arguments: list[str]) -> None:
    scratch = venv / SCRATCH  # /tmp may be memory, and too small
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    pip = subprocess.Popen(
        command, env={**os.environ, **temporary, "PIP_USER": "0"}, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace"
    )
    try:
        complaints = _pass_on(pip)
    finally:
        pip.wait()
        shutil.rmtree(scratch, ignore_errors=True)
    if pip.returncode:
        raise StartFailed(explain_pip(complaints))


def _pass_on(pip: subprocess.Popen[str]) -> list[str]:
    """Show what pip complains about as it comes, and return the last of it."""
    complaints: deque[str] = deque(maxlen=200)
    assert pip.stderr is not None
    for line in pip.stderr:
        sys.stderr.write(line)
        complaints.append(line)
    return list(complaints)


def explain_pip(complaints: list[str]) -> str:
    """One sentence on why pip failed, followed by its own last error line."""
    text = "\n".join(complaints)
    reason = next((reason for signs, reason in _PIP_REASONS if any(sign in text for sign in signs)), "The packages could not be installed.")
    errors = [line for line in complaints if line.startswith("ERROR:")]
    return f"{reason} pip's last word was: {_last_line(errors[-1] if errors else text)}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


def _try_torch(python: Path, machine: torch_build.Machine) -> None:
    print("Trying torch.", flush=True)
    check = torch_build.check_torch(python, machine)
    if check.device is None:
        raise StartFailed(check.problem or "torch does not work here.")
    print(f"torch {check.version} computes on {'the processor' if check.device == 'cpu' else check.device}.", flush=True)
    if check.problem:
        print(check.problem, flush=True)
