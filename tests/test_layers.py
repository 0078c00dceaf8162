"""The walls of the house: who may import whom, no import cycles, and no torch in the server."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Server

ROOT = Path(__file__).resolve().parent.parent
TENSORS = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "safetensors", "spandrel")


@dataclass(frozen=True)
class Layer:
    """`foreign`: packages from elsewhere that may be imported, None for any. `closed`: modules that may not, with all below them."""

    foreign: frozenset[str] | None
    closed: tuple[str, ...]


NOT_THE_PRODUCT = ("app", "tests", "tools", "benchmarks")
LAYERS = {
    "app": Layer(frozenset({"uvicorn", "fastapi"}), ("backend.inference", *NOT_THE_PRODUCT)),
    "ui": Layer(frozenset({"gradio", "PIL", "fastapi"}), ("backend.inference", *NOT_THE_PRODUCT)),
    "backend": Layer(
        frozenset({"pydantic", "pydantic_core", "fastapi", "starlette", "PIL", "psutil", "tokenizers", "tomli", "httpx", "huggingface_hub"}),
        ("backend.inference", "ui", "extensions", *NOT_THE_PRODUCT),
    ),
    "inference": Layer(None, ("gradio", "ui", "backend.engine", "backend.api", "extensions", *NOT_THE_PRODUCT)),
    "extension page": Layer(None, (*TENSORS, "backend.inference", *NOT_THE_PRODUCT)),
    "extension hooks": Layer(None, ("gradio", "ui", *NOT_THE_PRODUCT)),
    "extension": Layer(None, NOT_THE_PRODUCT),
}
DOOR = ("backend/engine.py", "backend.inference")
"""The one file that may name the worker's side, in one function that runs in the worker process."""

HOUSE = {"app", "ui", "backend", "extensions", "tests", "tools", "benchmarks"}


@dataclass(frozen=True)
class Import:
    module: str
    names: tuple[str, ...]
    line: int
    function: str | None
    """The function in which it stands, None at the top."""


def imports_of(source: str) -> list[Import]:
    return list(_walk(ast.parse(source), None))


def _walk(node: ast.AST, function: str | None) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, (), child.lineno, function)
        elif isinstance(child, ast.ImportFrom):
            yield Import("." * child.level + (child.module or ""), tuple(alias.name for alias in child.names), child.lineno, function)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).split(".")[-1] in ("import_module", "__import__"):
            for named in child.args[:1]:
                if isinstance(named, ast.Constant):
                    yield Import(str(named.value), (), child.lineno, function)
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _walk(child, inner)


def layer_of(path: str) -> str:
    """`path` is relative to the root, with forward slashes."""
    parts = path.split("/")
    if parts[0] == "extensions":
        return {"ui.py": "extension page", "hooks.py": "extension hooks"}.get(parts[-1], "extension")
    if parts[:2] == ["backend", "inference"]:
        return "inference"
    return parts[0].removesuffix(".py")


def violations(path: str, source: str) -> list[str]:
    """What the file at `path` imports against the rules, one line for each."""
    layer = LAYERS[layer_of(path)]
    found, doors = [], set()
    for item in imports_of(source):
        reached = [item.module, *(f"{item.module}.{name}" for name in item.names)]
        closed = next((wall for wall in layer.closed for name in reached if name == wall or name.startswith(wall + ".")), None)
        top = item.module.split(".")[0]
        if closed and path == DOOR[0] and closed == DOOR[1] and item.function is not None:
            doors.add(item.function)
        elif closed:
            found.append(f"{path}:{item.line} imports {closed}")
        elif item.module.startswith("."):
            found.append(f"{path}:{item.line} imports relatively")
        elif layer.foreign is not None and top not in HOUSE | layer.foreign | sys.stdlib_module_names:
            found.append(f"{path}:{item.line} imports {top}")
        if layer_of(path) == "ui" and top == "backend" and any(name.startswith("_") for name in item.names):
            found.append(f"{path}:{item.line} imports a private name of {item.module}")
    if len(doors) > 1:
        found.append(f"{path} imports {DOOR[1]} in more than one function: {', '.join(sorted(doors))}")
    return found


def sources() -> dict[str, str]:
    """Relative path -> text of every file of the product."""
    paths = [ROOT / "app.py", *(path for folder in ("ui", "backend", "extensions") for path in (ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_graph(files: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the modules of the house that it imports, wherever in the file."""
    modules = {module_name(path) for path in files}
    graph = {}
    for path, source in files.items():
        reached: set[str] = set()
        for item in imports_of(source):
            below = {f"{item.module}.{name}" for name in item.names} & modules
            others = {name for name in item.names if f"{item.module}.{name}" not in modules}
            reached |= below | ({item.module} & modules if others or not item.names else set())
        graph[module_name(path)] = reached
    return graph


def cycle_in(graph: dict[str, set[str]]) -> list[str] | None:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def loaded_by(modules: list[str]) -> set[str]:
    """Which of TENSORS are loaded once a fresh process has imported `modules`."""
    code = (
        "import importlib, sys\n"
        "from ui.fast_gradio import without_stubs\n"
        "with without_stubs():\n"
        "    for name in sys.argv[2:]: importlib.import_module(name)\n"
        "print(*(set(sys.argv[1].split()) & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code, " ".join(TENSORS), *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_nobody_imports_through_a_wall() -> None:
    files = sources()
    assert {"app.py", "backend/engine.py", "ui/shell.py", "backend/inference/generate.py"} <= set(files)
    assert [line for path, source in files.items() for line in violations(path, source)] == []


def test_there_are_no_import_cycles() -> None:
    assert cycle_in(import_graph(sources())) is None


def import_without_packages(module: str) -> subprocess.CompletedProcess[str]:
    """Import `module` in a fresh process that sees the standard library and Atelier only."""
    code = "import importlib, sys; sys.path.insert(0, sys.argv[1]); importlib.import_module(sys.argv[2])"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT), module], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["app", "backend.environment", "backend.flags", "backend.installing", "backend.torch_build"])
def test_what_runs_before_the_set_up_needs_the_standard_library_alone(module: str) -> None:
    run = import_without_packages(module)
    assert run.returncode == 0, run.stderr


def test_a_package_needed_before_the_set_up_would_be_noticed() -> None:
    assert "No module named 'pydantic'" in import_without_packages("backend.types").stderr


def test_importing_the_whole_server_loads_no_tensors() -> None:
    modules = [module_name(path) for path in sources() if layer_of(path) in ("app", "ui", "backend")]
    assert loaded_by(modules) == set()


def test_the_running_server_has_loaded_no_tensors(server: Server) -> None:
    server.get("sdapi/v1/sd-models")
    assert server.get("healthz")["server_modules_with_tensors"] == []


# The walls themselves are tried: a planted violation must be seen.


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app.py", "import torch"),
        ("app.py", "import gradio"),
        ("ui/form.py", "import torch"),
        ("ui/form.py", "def late():\n    from diffusers import DiffusionPipeline"),
        ("ui/form.py", "from backend.inference import generate"),
        ("ui/form.py", "from backend import inference"),
        ("ui/form.py", "import backend.inference.generate as g"),
        ("ui/form.py", "from backend.engine import _run_worker"),
        ("ui/form.py", "import numpy"),
        ("backend/store.py", "import gradio"),
        ("backend/store.py", "from ui import form"),
        ("backend/store.py", "import ui.form"),
        ("backend/store.py", "if True:\n    try:\n        import torch.nn as nn\n    except ImportError:\n        pass"),
        ("backend/store.py", "async def late():\n    import safetensors.torch"),
        ("backend/store.py", "import importlib\nimportlib.import_module('torch')"),
        ("backend/store.py", "def late():\n    from backend.inference import cache"),
        ("backend/store.py", "from . import images"),
        ("backend/api/files.py", "from backend.inference import cache"),
        ("backend/engine.py", "from backend.inference.worker import run"),
        ("backend/engine.py", "def a():\n    import backend.inference.worker\ndef b():\n    import backend.inference.cache"),
        ("backend/inference/cache.py", "import gradio"),
        ("backend/inference/cache.py", "from backend.engine import Engine"),
        ("backend/inference/cache.py", "from backend import engine"),
        ("backend/inference/cache.py", "from ui.form import Form"),
        ("extensions/grids/ui.py", "import torch"),
        ("extensions/grids/hooks.py", "import gradio"),
        ("extensions/grids/parts.py", "import tests.tiny"),
    ],
)
def test_a_planted_violation_is_seen(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app.py", "from backend import environment\ndef main():\n    import uvicorn\n    from ui import shell"),
        ("ui/form.py", "import gradio as gr\nfrom PIL import Image\nfrom backend.types import Request"),
        ("backend/engine.py", "def _run():\n    from backend.inference.worker import run"),
        ("backend/inference/cache.py", "import torch, diffusers\nfrom backend.types import Request"),
        ("backend/families.py", "CODE = 'diffusers:StableDiffusionPipeline'"),
        ("extensions/grids/ui.py", "import gradio"),
        ("extensions/grids/hooks.py", "import torch"),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "files",
    [
        {"backend/a.py": "import backend.b", "backend/b.py": "from backend.a import x"},
        {"backend/a.py": "from backend import b", "backend/b.py": "def late():\n    from backend import c", "backend/c.py": "from backend import a"},
        {"ui/a.py": "from ui import b", "ui/__init__.py": "", "ui/b.py": "from ui.a import x"},
    ],
)
def test_a_planted_cycle_is_seen(files: dict[str, str]) -> None:
    assert cycle_in(import_graph(files)) is not None


def test_a_tree_without_cycles_is_not_reported() -> None:
    assert (
        cycle_in(import_graph({"ui/__init__.py": "", "ui/a.py": "from ui import b", "ui/b.py": "from backend import c", "backend/c.py": ""})) is None
    )


def test_tensors_would_be_noticed_in_a_fresh_process() -> None:
    assert "torch" in loaded_by(["backend.inference.generate"])
