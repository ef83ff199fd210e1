"""Adapters (LoRA, LoHa, LoKr): told by their tensors' names, their base by what the trainer noted of it."""

from __future__ import annotations

import re

from bracket.weights.header import Header
from bracket.weights.kinds import TITLES

_SORTS = (
    ("a LoKr", re.compile(r"\.lokr_w[12](_a)?$")),
    ("a LoHa", re.compile(r"\.hada_w1_a$")),
    ("a LoRA", re.compile(r"[._]lora[._](down|A|up|B)\b|\.lora_[AB]\b")),
)

_NOTES = ("modelspec.architecture", "ss_base_model_version")

_BASES = (
    ("stablediffusionxl", "sdxl"),
    ("sdxl", "sdxl"),
    ("stablediffusion35large", "sd35-large"),
    ("stablediffusion35medium", "sd35-medium"),
    ("stablediffusion3", "sd3"),
    ("sd3", "sd3"),
    ("stablediffusionv2", "sd2"),
    ("sdv2", "sd2"),
    ("sd2", "sd2"),
    ("stablediffusionv1", "sd15"),
    ("sdv1", "sd15"),
    ("sd15", "sd15"),
    ("flux2klein4b", "flux2-klein-4b"),
    ("flux2klein9b", "flux2-klein-9b"),
    ("flux2dev", "flux2-dev"),
    ("flux2", "flux2"),
    ("flux1schnell", "flux1-schnell"),
    ("flux1dev", "flux1-dev"),
    ("flux1", "flux1"),
    ("fluxkontext", "flux1-dev"),
    ("zimage", "z-image"),
    ("qwenimagelayered", "qwen-image-layered"),
    ("qwenimage", "qwen-image"),
    ("lumina", "lumina2"),
    ("hunyuanimage", "hunyuan-image-2.1"),
    ("hunyuanvideo15", "hunyuanvideo1.5"),
    ("hunyuanvideo", "hunyuanvideo"),
    ("framepack", "framepack"),
    ("anima", "anima"),
    ("chroma", "chroma"),
    ("hidreamo1", "hidream-o1"),
    ("hidream", "hidream-i1"),
    ("ideogram4", "ideogram4"),
    ("krea2", "krea2"),
    ("kandinsky5", "kandinsky5"),
    ("wan", "wan"),
    ("ltx2", "ltx2"),
)
"""How the trainers' notes begin, letters and digits only, and the kind that means."""


def lora_title(header: Header) -> str | None:
    """ "a LoRA for SDXL", or None when the file is no adapter."""
    sort = next((s for s, pattern in _SORTS if any(map(pattern.search, header.tensors))), None)
    if sort is None:
        return None
    base = next(filter(None, (_base(header.metadata.get(note, "")) for note in _NOTES)), "")
    if not base and any(name.startswith("lora_te2_") for name in header.tensors):
        base = TITLES["sdxl"]
    return f"{sort} for {base}" if base else sort


def _base(note: str) -> str:
    letters = re.sub(r"[^a-z0-9]", "", note[:200].partition("/")[0].lower())
    return next((TITLES[kind] for beginning, kind in _BASES if letters.startswith(beginning)), "")
