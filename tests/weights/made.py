"""Safetensors files with true headers and no weights: their bodies are holes, so that 24 GB cost nothing."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

Shapes = dict[str, tuple[int, ...]]

RECORDED = Path(__file__).parents[1] / "data" / "weights.json"
"""Names and shapes of the real model classes of sd-scripts, musubi-tuner, diffusers and transformers with the released
models' sizes, recorded on torch's meta device. `#` stands for each of the indices listed; blocks from 10 on and most
biases are left out."""


@cache
def recorded() -> dict[str, tuple[str, Shapes]]:
    """What each recorded model is, and its tensors."""
    raw = json.loads(RECORDED.read_text(encoding="utf-8"))
    return {name: (entry["is"], _tensors(entry["tensors"])) for name, entry in raw.items()}


def _tensors(rows: list[tuple[str, list[int], str]]) -> Shapes:
    shapes: Shapes = {}
    for pattern, shape, places in rows:
        for place in places.split() or [""]:
            name = pattern
            for index in place.split("."):
                name = name.replace("#", index, 1)
            shapes[name] = tuple(shape)
    return shapes


def shapes_of(name: str, prefix: str = "") -> Shapes:
    return {prefix + k: v for k, v in recorded()[name][1].items()}


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] | None = None
) -> Path:
    """A file whose header is written and whose weights are a hole, 2 bytes a number."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    data = json.dumps(header).encode()
    data += b" " * (-len(data) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(data)) + data)
        file.truncate(8 + len(data) + end)
    return path
