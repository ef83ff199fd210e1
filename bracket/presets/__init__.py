"""Presets as data: one YAML in `presets/` per model × method × trainer. A new model is a new file, no new code."""

from __future__ import annotations

from bracket.presets.finding import (
    DEMO_PRESET,
    RUBRICS,
    broken_presets,
    find_preset,
    list_presets,
    load_preset,
    mended,
    read_mapping,
    search,
)
from bracket.presets.schema import KnobSpec, Preset, Script, Scripts, VramProfile

__all__ = [
    "DEMO_PRESET",
    "RUBRICS",
    "KnobSpec",
    "Preset",
    "Script",
    "Scripts",
    "VramProfile",
    "broken_presets",
    "find_preset",
    "list_presets",
    "load_preset",
    "mended",
    "read_mapping",
    "search",
]
