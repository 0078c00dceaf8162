"""Which transformers an IP-Adapter's file is made for, by the sizes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

from backend.headers import Damage

FLUX_BLOCKS, FLUX_KEYS = 19, 3072 * 4096
"""Blocks of Flux.1 that attend to pictures, and the size of the layer with which each does."""

SD3_LAYERS: Mapping[tuple[int, int], tuple[str, ...]] = {
    (1536, 24): ("sd3-medium",), (1536, 37): ("sd3.5-medium",), (2432, 38): ("sd3.5-large",),
}  # fmt: skip
"""Width and layers of attention of Stable Diffusion 3 and 3.5: of 3.5 medium's 24 blocks, 13 attend twice."""


def families(sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    """Ids of the rows; none where it fits none of them; None where it is no adapter for a transformer. Raises Damage."""
    if keys := flux_keys(sizes):
        if not {"ip_adapter_proj_model.proj.weight", "image_proj.proj.weight"} & set(sizes):
            raise Damage("it is an IP-Adapter for Flux.1 of a kind that is not supported. Those of XLabs' kind are.")
        return ("flux-dev", "flux-schnell") if keys == [FLUX_KEYS] * FLUX_BLOCKS else ()
    if any(".norm_ip.linear." in name for name in sizes):
        layers = [size for name, size in sizes.items() if name.endswith("to_k_ip.weight")]
        if "image_proj.time_embedding.linear_1.weight" not in sizes or len(set(layers)) != 1:
            raise Damage("it is an IP-Adapter for Stable Diffusion 3 of a kind that is not supported. Those of InstantX's kind are.")
        return SD3_LAYERS.get((math.isqrt(layers[0]), len(layers)), ())
    return None


def flux_keys(sizes: Mapping[str, int]) -> list[int]:
    """Sizes of the layers with which pictures are attended to, in XLabs' layout or by diffusers' names; none where it isn't for Flux.1."""
    if not any(name.endswith(("ip_adapter_double_stream_k_proj.bias", "to_k_ip.bias")) for name in sizes):
        return []
    return [size for name, size in sizes.items() if name.endswith(("ip_adapter_double_stream_k_proj.weight", "to_k_ip.weight"))]
