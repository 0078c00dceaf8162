"""The device: which one, its precision, and how much of its memory is in use. Nothing else asks the device about memory."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

import psutil
import torch

from backend.errors import StartFailed


@dataclass(frozen=True)
class Device:
    """The one device that this worker draws on."""

    torch_device: torch.device
    dtype: torch.dtype
    """What networks compute in: 16 bit on graphics cards, 32 bit on a CPU, where 16 bit is slower and coarser."""
    title: str

    def precision(self, wide: bool) -> torch.dtype:
        """What a model is loaded in. `wide` asks for 16 bits that reach as far as 32 do."""
        return torch.bfloat16 if wide and self.dtype == torch.float16 else self.dtype

    @property
    def total(self) -> int:
        """Bytes of memory that the device has in all."""
        if self.torch_device.type == "cuda":
            return torch.cuda.get_device_properties(self.torch_device).total_memory
        return psutil.virtual_memory().total

    @property
    def used(self) -> int:
        """Bytes this process holds: allocated on a graphics card, resident elsewhere."""
        if self.torch_device.type == "cuda":
            return torch.cuda.memory_allocated(self.torch_device)
        return psutil.Process().memory_info().rss

    def reset_peak(self) -> None:
        if self.torch_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch_device)

    @property
    def peak(self) -> int:
        """Bytes at the highest since `reset_peak`; on other devices than CUDA since the process began."""
        if self.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch_device)
        if sys.platform == "win32":
            return psutil.Process().memory_info().peak_wset
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024

    def free_caches(self) -> None:
        """Give memory that nothing uses back to the device."""
        if self.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.torch_device.type == "mps":
            torch.mps.empty_cache()


def choose(wanted: str) -> Device:
    """The device for `wanted` (auto, cpu, cuda, cuda:N, mps, xpu). Raises StartFailed where this machine lacks it."""
    kind = _best() if wanted == "auto" else wanted
    if not _present(kind.split(":")[0]):
        raise StartFailed(f"This machine has no device “{wanted}” that torch can use. Start with --device auto or --device cpu.")
    device = torch.device(kind)
    if device.type == "cuda":
        return Device(device, torch.float16, torch.cuda.get_device_name(device))
    if device.type in ("mps", "xpu"):
        return Device(device, torch.float16, "Apple GPU" if device.type == "mps" else "Intel GPU")
    return Device(device, torch.float32, f"CPU ({platform.machine()})")


def _best() -> str:
    return next((kind for kind in ("cuda", "xpu", "mps") if _present(kind)), "cpu")


def _present(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    if kind == "mps":
        return torch.backends.mps.is_available()
    if kind == "xpu":
        return torch.xpu.is_available()
    return kind == "cpu"
