"""Small whole files in place of what a trainer leaves."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

_LAYOUTS = {"F32": "<f4", "F16": "<f2"}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)


def weights(path: Path, dtype: str = "F32", values: tuple[float, ...] = (0.5, -1.0, 2.0)) -> None:
    """A safetensors file of one tensor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if dtype == "BF16":  # the upper half of a float32
        data = (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    else:
        data = np.array(values, _LAYOUTS[dtype]).tobytes()
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "lora.up.weight": {"dtype": dtype, "shape": [len(values)], "data_offsets": [0, len(data)]},
        }
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
