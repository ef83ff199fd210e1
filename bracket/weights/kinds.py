"""Every kind of weight that can be told, by the names a preset's `is_a` uses."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import MappingProxyType

from bracket.errors import PresetError
from bracket.weights.denoisers import DENOISERS
from bracket.weights.parts import AUTOENCODERS, ENCODERS

FAMILIES = (*DENOISERS, *ENCODERS, *AUTOENCODERS)

FAMILY_OF = MappingProxyType(
    {f.kind: f.kind for f in FAMILIES} | {v.kind: f.kind for f in FAMILIES for v in f.variants} | {"lora": "lora"}
)
"""The family of every kind; a family's own is itself."""

TITLES = MappingProxyType(
    {f.kind: f.title for f in FAMILIES} | {v.kind: v.title for f in FAMILIES for v in f.variants} | {"lora": "a LoRA"}
)
"""What every kind is called in a sentence."""

ALIASES = MappingProxyType(
    {
        "flux1-kontext": ("FLUX.1 Kontext", ("flux1-dev",)),
        "qwen-image-edit": ("Qwen-Image-Edit", ("qwen-image",)),
        "z-image-turbo": ("Z-Image Turbo", ("z-image",)),
        "hidream-e1": ("HiDream-E1", ("hidream-i1",)),
        "wan2.1-14b-t2v": ("Wan 2.1 14B text-to-video", ("wan-14b-t2v",)),
        "wan2.2-14b-t2v": ("Wan 2.2 14B text-to-video", ("wan-14b-t2v",)),
        "wan2.2-14b": ("Wan 2.2 14B", ("wan-14b-t2v", "wan2.2-14b-i2v")),
        "kandinsky5-lite": ("Kandinsky 5 Lite", ("kandinsky5-lite-video", "kandinsky5-lite-image")),
        "vae-qwen-image": ("the Qwen-Image VAE", ("vae-wan2.1",)),
        "vae-sdxl": ("the SDXL VAE", ("vae-sd",)),
        "vae-sd3": ("the SD 3 VAE", ("vae-flux",)),
    }
)
"""Further names a preset may use for kinds that look alike: what to call them, and the kinds they stand for."""

KINDS = frozenset(TITLES) | frozenset(ALIASES)
"""Every name that `is_a` may hold."""


def title_of(kind: str) -> str:
    """What a kind or an alias is called. Raises PresetError for a name that isn't known."""
    _known(kind)
    return ALIASES[kind][0] if kind in ALIASES else TITLES[kind]


def spelled_out(expected: Sequence[str]) -> set[str]:
    """The kinds that these names stand for. Raises PresetError for a name that isn't known."""
    kinds: set[str] = set()
    for name in expected:
        _known(name)
        kinds.update(ALIASES[name][1] if name in ALIASES else (name,))
    return kinds


def _known(name: str) -> None:
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else ""
        raise PresetError(f"there is no kind of weight called {name!r}", remedy=remedy)
