"""The models in memory. Getting and holding one is a single call, so that nothing can be evicted in between."""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from diffusers import DiffusionPipeline

from backend.errors import DamagedModel
from backend.inference.memory import Device
from backend.library import NOT_NEEDED, Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A model's components on the device."""

    model: Model
    components: dict[str, Any]
    size_bytes: int

    def pipeline(self, task: str, **replaced: object) -> Any:
        """A pipeline of the family's class for this task, sharing all components but the replaced ones."""
        return named(self.model.family.pipelines[task])(**{**self.components, **replaced})


def named(code: str) -> Any:
    """What "module:Name" names."""
    module, name = code.split(":")
    return getattr(importlib.import_module(module), name)


class ModelCache:
    """Holds the model used last. Evicting is dropping: weights never change, and the file is their master."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._loaded: Loaded | None = None

    @property
    def model_name(self) -> str:
        return self._loaded.model.name if self._loaded else ""

    @contextlib.contextmanager
    def use(self, model: Model, check: Callable[[], None]) -> Iterator[Loaded]:
        """Hold the model while the block runs. `check` is called between components and may raise to stop the load."""
        if self._loaded is None or self._loaded.model.path != model.path:
            self.drop()
            self._loaded = self._load(model, check)
        yield self._loaded

    def drop(self) -> None:
        """Let go of everything."""
        if self._loaded:
            log.info("dropped %s, %.1f MB", self._loaded.model.name, self._loaded.size_bytes / 1e6)
            self._loaded = None
            gc.collect()
            self._device.free_caches()

    def _load(self, model: Model, check: Callable[[], None]) -> Loaded:
        check()
        code: type[DiffusionPipeline] = named(model.family.pipelines[model.family.task])
        accepted = inspect.signature(code.__init__).parameters
        left_out = (name for name in model.family.needless if not (model.path / name).is_dir())
        absent = {name: None for name in (*NOT_NEEDED, *left_out) if name in accepted}
        extra = {"requires_safety_checker": False} if "safety_checker" in absent else {}
        try:
            pipe = code.from_pretrained(
                model.path, dtype=self._device.precision(model.family.wide), variant=model.variant, use_safetensors=True,
                local_files_only=True, **absent, **extra,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
            log.exception("loading %s", model.name)
            raise DamagedModel(
                f"The model “{model.name}” could not be loaded: {_first_line(error)}. Copy its folder again or choose another model."
            ) from error
        check()
        components = dict(pipe.components)
        for part in components.values():
            if hasattr(part, "parameters"):
                part.to(self._device.torch_device).requires_grad_(False).eval()
                check()
        size = sum(
            weight.numel() * weight.element_size() for part in components.values() if hasattr(part, "parameters") for weight in part.parameters()
        )
        log.info("loaded %s, %.1f MB", model.name, size / 1e6)
        flags = {name: value for name, value in pipe.config.items() if name in accepted and name not in components}
        return Loaded(model, {**components, **flags}, size)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
