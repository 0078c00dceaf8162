"""The set-up with real environments and a tiny real package, without a network."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.environment import MARKER, missing_packages, pinned, python_of, requirement_files
from backend.errors import StartFailed

ROOT = Path(__file__).resolve().parent.parent

APP = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from backend.environment import ensure
from backend.errors import StartFailed
try:
    ensure(Path(__file__).with_name("requirements.txt"), [__file__] + sys.argv[1:])
except StartFailed as problem:
    sys.exit(str(problem))
import json, atelier_tiny
print(json.dumps([sys.prefix, sys.argv[1:], atelier_tiny.VERSION]))
"""

# Ends the process at the first socket or child process that it asks for.
NOTHING_OUTSIDE = """
import os, sys
def watch(event, arguments):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.fork", "os.system", "os.posix_spawn"):
        os.write(2, ("reached outside: " + event).encode())
        os._exit(99)
sys.addaudithook(watch)
"""


def tiny_wheel(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"atelier_tiny-{version}-py3-none-any.whl"
    info = f"atelier_tiny-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("atelier_tiny/__init__.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: atelier-tiny\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"atelier_tiny/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def hear_ctrl_c() -> None:
    """A process started in the background of a shell would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Start:
    code: int
    output: str

    @property
    def said(self) -> list[object]:
        """What the program says once it runs: [sys.prefix, arguments, version of the package]."""
        return json.loads(self.output.splitlines()[-1])


class Studio:
    """A folder with an app and its requirements, to be started like Atelier."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.venv = self.root / ".venv"

    def require(self, *lines: str) -> None:
        wheels = self.root / "wheels"
        for version in ("1.0", "2.0"):
            tiny_wheel(wheels, version)
        text = "\n".join(["--no-index", f"--find-links {wheels.as_posix()}", *lines])
        (self.root / "requirements.txt").write_text(text + "\n", encoding="utf-8")
        (self.root / "app.py").write_text(APP, encoding="utf-8")

    def begin(self, *arguments: str, python_path: Path | None = None) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        if python_path is not None:
            environ["PYTHONPATH"] = os.pathsep.join([str(python_path), environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        command = [sys.executable, str(self.root / "app.py"), *arguments]
        return subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            start_new_session=True, preexec_fn=None if os.name == "nt" else hear_ctrl_c,
        )  # fmt: skip

    def start(self, *arguments: str, python_path: Path | None = None) -> Start:
        process = self.begin(*arguments, python_path=python_path)
        output, _ = process.communicate(timeout=150)
        return Start(process.returncode, output)

    def start_watched(self) -> Start:
        watch = self.root / "watch"
        watch.mkdir(exist_ok=True)
        (watch / "sitecustomize.py").write_text(NOTHING_OUTSIDE, encoding="utf-8")
        return self.start(python_path=watch)


@dataclass(frozen=True)
class FirstStarts:
    studio: Studio
    starts: tuple[Start, Start]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FirstStarts:
    """Two starts at the same moment where nothing is installed yet."""
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.require("atelier-tiny==1.0  # a comment", 'never-there==9.9; python_version < "3.9"')
    both = [studio.begin("--port", "7861", "a b"), studio.begin("--port", "7861", "a b")]
    outputs = [process.communicate(timeout=170)[0] for process in both]
    one, two = (Start(process.returncode, output) for process, output in zip(both, outputs, strict=True))
    return FirstStarts(studio, (one, two))


@pytest.fixture
def studio(first: FirstStarts, tmp_path: Path) -> Studio:
    """A copy of the studio that is set up, which also shows that the folder may be moved."""
    shutil.copytree(first.studio.root, tmp_path / "studio", symlinks=True)
    return Studio(tmp_path / "studio")


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path)
    studio.require("atelier-tiny==1.0")
    yield studio


def test_first_start_sets_up_and_goes_on_with_the_same_arguments(first: FirstStarts) -> None:
    for start in first.starts:
        assert start.code == 0, start.output
        assert start.said == [str(first.studio.venv), ["--port", "7861", "a b"], "1.0"]
        assert "Setting up Atelier in .venv" in start.output


def test_of_two_first_starts_one_installs_and_the_other_waits(first: FirstStarts) -> None:
    assert sorted("Installing packages." in start.output for start in first.starts) == [False, True]


def test_second_start_opens_no_socket_and_starts_no_process(studio: Studio) -> None:
    start = studio.start_watched()
    assert start.code == 0, start.output
    assert start.said == [str(studio.venv), [], "1.0"]
    assert "Setting up" not in start.output


def test_the_watch_of_the_second_start_would_notice_an_installation(studio: Studio) -> None:
    (studio.venv / MARKER).unlink()
    assert studio.start_watched().code == 99


def test_changed_requirements_are_installed(studio: Studio) -> None:
    studio.require("atelier-tiny==2.0")
    start = studio.start()
    assert "Bringing .venv up to date." in start.output
    assert start.said[2] == "2.0"


def test_changed_comments_install_nothing(studio: Studio) -> None:
    text = (studio.root / "requirements.txt").read_text(encoding="utf-8")
    (studio.root / "requirements.txt").write_text("# another comment\n\n" + text, encoding="utf-8")
    assert studio.start_watched().code == 0


@pytest.mark.skipif(os.name == "nt", reason="process groups are killed the POSIX way")
def test_a_set_up_that_was_killed_is_resumed(bare: Studio) -> None:
    process = bare.begin()
    deadline = time.monotonic() + 60
    while not (bare.venv / "pyvenv.cfg").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (bare.venv / MARKER).exists()
    start = bare.start()
    assert start.code == 0, start.output
    assert start.said == [str(bare.venv), [], "1.0"]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl+C is sent the POSIX way")
def test_ctrl_c_during_the_set_up_gets_a_sentence(bare: Studio) -> None:
    process = bare.begin()
    while not (bare.venv / "pyvenv.cfg").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.splitlines()[-1] == "The set-up was stopped. The next start goes on with it."
    assert "Traceback" not in output


def test_a_package_that_was_left_in_pieces_is_installed_again(studio: Studio) -> None:
    (info,) = studio.venv.glob("[Ll]ib/**/atelier_tiny-1.0.dist-info")
    (info / "INSTALLER").unlink()
    (info.parent / "atelier_tiny" / "__init__.py").unlink()
    (studio.venv / MARKER).unlink()
    assert studio.start().said[2] == "1.0"


def test_an_environment_of_another_python_is_made_anew(studio: Studio) -> None:
    marker = studio.venv / MARKER
    marker.write_text(marker.read_text(encoding="utf-8").replace("python 3.", "python 4."), encoding="utf-8")
    start = studio.start()
    assert start.code == 0, start.output
    assert f"python {sys.version_info[0]}.{sys.version_info[1]}:" in marker.read_text(encoding="utf-8")


def test_an_environment_whose_python_is_gone_is_made_anew(studio: Studio) -> None:
    python = python_of(studio.venv)
    python.unlink()
    python.symlink_to(studio.root / "python-that-was-removed")
    start = studio.start()
    assert start.code == 0, start.output
    assert start.said[0] == str(studio.venv)


def test_an_interpreter_that_has_the_packages_is_used_as_it_is(bare: Studio, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(tiny_wheel(tmp_path, "1.7")) as wheel:
        wheel.extractall(site)
    start = bare.start(python_path=site)
    assert start.said == [sys.prefix, [], "1.7"]
    assert not bare.venv.exists()


def test_a_foreign_venv_without_pip_is_left_alone(bare: Studio) -> None:
    bare.venv.mkdir()
    (bare.venv / "somebody's.txt").write_text("keep me", encoding="utf-8")
    for _ in range(2):
        start = bare.start()
        assert start.code == 1
        assert "is not Atelier's" in start.output
        assert (bare.venv / "somebody's.txt").read_text(encoding="utf-8") == "keep me"


def test_a_package_that_cannot_be_had_gets_one_sentence_with_pips_last_word(studio: Studio) -> None:
    studio.require("atelier-tiny==3.0")
    start = studio.start()
    assert start.code == 1
    last = start.output.splitlines()[-1]
    assert last.startswith("A package has no version for this Python")
    assert last.endswith("ERROR: No matching distribution found for atelier-tiny==3.0")
    assert not (studio.venv / MARKER).exists()


# Requirements files


def test_atelier_s_own_requirements_are_exact_and_understood() -> None:
    runtime, tests = pinned(ROOT / "requirements.txt"), pinned(ROOT / "requirements-dev.txt")
    assert {"torch", "diffusers", "gradio", "pillow"} <= set(runtime)
    assert {"pytest", "ruff", "pyright"} <= set(tests) - set(runtime)
    assert runtime.items() <= tests.items()
    assert requirement_files(ROOT / "requirements-dev.txt") == [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]


def test_conditions_choose_by_version_of_python(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text('One_Thing==1; python_version >= "3.10"\nOne_Thing==2; python_version < "3.10"\nextra[all]==3\n', encoding="utf-8")
    assert pinned(path) == {"one-thing": "1", "extra": "3"}


@pytest.mark.parametrize("line", ["torch>=2", "torch", 'torch==1; sys_platform == "linux"'])
def test_lines_that_are_not_understood_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(StartFailed, match=r"torch|sys_platform"):
        pinned(path)


def test_missing_packages_are_found_by_normalised_name(tmp_path: Path) -> None:
    for name in ("Some_Thing-1.0.dist-info", "other.thing-2.egg-info"):
        (tmp_path / name).mkdir()
    assert missing_packages(["some-thing", "other-thing", "some"], [str(tmp_path), str(tmp_path / "nowhere")]) == ["some"]


@pytest.mark.parametrize("name", ["app.py", "tests/__main__.py"])
def test_entry_files_can_tell_an_old_python_that_it_is_too_old(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 6))
    assert "from __future__ import annotations" not in text  # a SyntaxError before Python 3.7
    statements = [node for node in tree.body if not isinstance(node, ast.Expr)]
    check = next(index for index, node in enumerate(statements) if isinstance(node, ast.If))
    assert "sys.version_info < (3, 10)" in ast.unparse(statements[check])
    imported = [alias.name for node in statements[:check] if isinstance(node, ast.Import) for alias in node.names]
    assert set(imported) <= {"os", "sys"} and not any(isinstance(node, ast.ImportFrom) for node in statements[:check])
