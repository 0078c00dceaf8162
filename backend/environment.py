"""Make sure that this interpreter has what a requirements file names, or go on in a `.venv` that has it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from backend.errors import StartFailed

OLDEST_PYTHON = (3, 10)
MARKER = "atelier-installed.txt"
LOCK = "atelier-setup.lock"
CONTINUED = "ATELIER_CONTINUED_IN"

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?\s*==\s*(?P<version>[^\s;]+)\s*(?:;\s*(?P<condition>.+))?")
_CONDITION = re.compile(r"""python_version\s*(?P<sign><|>=)\s*["'](?P<major>\d+)\.(?P<minor>\d+)["']""")


def ensure(requirements: Path, arguments: list[str]) -> None:
    """Return when this interpreter has every package that `requirements` pins; else start `arguments` anew in one that has.

    `arguments` is what follows `python` on the command line, such as ["app.py", "--port", "7861"]. Where neither this interpreter nor
    `.venv` beside the file has the packages, they are installed into `.venv`. Raises StartFailed where that cannot be done.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise StartFailed("Atelier needs Python 3.10 or newer, and this is Python %d.%d." % sys.version_info[:2])
    venv = requirements.parent.resolve() / ".venv"
    inside = Path(sys.prefix).resolve() == venv
    continued = os.environ.pop(CONTINUED, None) == str(venv)
    if inside and _is_ours(venv):
        python = f"python {sys.version_info[0]}.{sys.version_info[1]}"
        if _installed(venv, requirements, python):
            return
    else:
        python = None
        if not missing_packages(pinned(requirements), sys.path):
            return
        if continued:
            raise StartFailed(f"{venv} does not start as an environment of its own: delete that folder and start again.")
    if not _installed(venv, requirements, python):
        _set_up(venv, requirements, python)
    _go_on_in(venv, arguments)


# What a requirements file says


def requirement_files(requirements: Path) -> list[Path]:
    """The file itself and those that it names with `-r`, which come first."""
    files = []
    for line in _lines(requirements):
        if line.startswith("-r "):
            files += requirement_files(requirements.parent / line[3:].strip())
    return [*files, requirements]


def pinned(requirements: Path) -> dict[str, str]:
    """Package name -> version, as far as it applies to this version of Python."""
    pins = {}
    for path in requirement_files(requirements):
        for line in _lines(path):
            if line.startswith("-"):
                continue
            match = _PIN.fullmatch(line)
            if match is None:
                raise StartFailed(f"{path.name} has a line that pins no version: {line}")
            if _applies(match["condition"]):
                pins[_normal(match["name"])] = match["version"]
    return pins


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StartFailed(f"{path} cannot be read ({error.strerror}): fetch Atelier anew.") from error
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()) if line]


def _applies(condition: str | None) -> bool:
    if condition is None:
        return True
    match = _CONDITION.fullmatch(condition.strip())
    if match is None:
        raise StartFailed(f"This condition in a requirements file is not understood: {condition}")
    older = sys.version_info[:2] < (int(match["major"]), int(match["minor"]))
    return older if match["sign"] == "<" else not older


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def missing_packages(names: Iterable[str], search_path: Iterable[str]) -> list[str]:
    """Those of `names` that no folder of `search_path` holds; read from folder names, some 20 ms faster than importlib.metadata."""
    present = set()
    for folder in search_path:
        try:
            entries = os.listdir(folder or ".")  # noqa: PTH208
        except OSError:
            continue
        present.update(_normal(entry.rsplit(".", 1)[0].split("-")[0]) for entry in entries if entry.endswith((".dist-info", ".egg-info")))
    return [name for name in names if name not in present]


# What lies in .venv


def _is_ours(venv: Path) -> bool:
    """Whether `ensure` set it up, or began to. A `.venv` that the user made is used, but neither emptied nor held to exact versions."""
    return (venv / LOCK).exists()


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _installed(venv: Path, requirements: Path, python: str | None) -> bool:
    """Whether the marker says that these very files were installed (for this `python`, if given) and the interpreter is still there."""
    noted = _read_marker(venv)
    current = all(noted.get(path.name) == _fingerprint(path) for path in requirement_files(requirements))
    return current and (python is None or python in noted) and _has_home(venv)


def _read_marker(venv: Path) -> dict[str, str]:
    try:
        lines = (venv / MARKER).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: fingerprint for name, _, fingerprint in (line.partition(": ") for line in lines)}


def _write_marker(venv: Path, requirements: Path, python: str) -> None:
    noted = {python: "", **{path.name: _fingerprint(path) for path in requirement_files(requirements)}}
    fresh = venv / (MARKER + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write("".join(f"{name}: {fingerprint}\n" for name, fingerprint in noted.items()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(venv / MARKER)


def _fingerprint(requirements: Path) -> str:
    return hashlib.sha256("\n".join(_lines(requirements)).encode()).hexdigest()


def _has_home(venv: Path) -> bool:
    """Whether the Python that `venv` was made from is still there; an upgrade of the system may have taken it away."""
    try:
        settings = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    named = dict(line.split(" = ", 1) for line in settings.splitlines() if " = " in line)
    return python_of(venv).exists() and Path(named.get("executable") or named.get("home", "")).exists()


# Setting up


def _set_up(venv: Path, requirements: Path, python: str | None) -> None:
    from backend import installing

    say("Bringing .venv up to date." if (venv / MARKER).exists() else "Setting up Atelier in .venv: this happens once and takes a few minutes.")
    try:
        venv.mkdir(exist_ok=True)
        if not _is_ours(venv) and any(venv.iterdir()) and not installing.is_sound(python_of(venv)):
            raise StartFailed(f"{venv} is not Atelier's and has no working pip: move it away, or activate it with the packages installed.")
        with _alone(venv):
            if not _installed(venv, requirements, python):  # else another start has just done it
                _install(venv, requirements)
    except KeyboardInterrupt:
        raise StartFailed("The set-up was stopped. The next start goes on with it.") from None
    except OSError as error:
        raise StartFailed(f"{venv} cannot be written ({error}): see to the disk and the folder's rights, and start again.") from error


@contextmanager
def _alone(venv: Path) -> Iterator[None]:
    """Hold back a second start until the first has set up. The system frees the lock even when the process is killed."""
    with (venv / LOCK).open("a+") as lock:
        if os.name == "nt":
            import msvcrt

            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another start is setting up already: waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(venv: Path, requirements: Path) -> None:
    from backend import installing

    python = python_of(venv)
    (venv / MARKER).unlink(missing_ok=True)
    if not installing.is_sound(python):
        installing.make_venv(venv, keep={LOCK})
    installing.install(venv, python, requirements, pinned(requirements))
    _write_marker(venv, requirements, installing.version_of(python))
    say("Atelier is set up.")


def say(line: str) -> None:
    print(line, flush=True)


def _go_on_in(venv: Path, arguments: list[str]) -> NoReturn:
    """Start `arguments` in `.venv`, in place of this process or, on Windows, as a child whose exit code becomes ours."""
    python = str(python_of(venv))
    os.environ[CONTINUED] = str(venv)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(python, [python, *arguments])
    import subprocess

    child = subprocess.Popen([python, *arguments])
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            continue  # Ctrl+C reached the child as well: it says when it is done
