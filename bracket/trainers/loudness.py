"""How loud a trained LoRA answers: the size of its change of each layer, from its file, whoever trained it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bracket.errors import StorageError
from bracket.weights import Header, read_header

_HALVES = re.compile(r"(?P<layer>.+?)[._]lora[._](?P<half>down|A|up|B)(?:\.default)?\.weight")
_DOWN = ("down", "A")
_PEFT = "lora_adapter_metadata"
"""Where diffusers keeps peft's settings, alpha among them, which kohya's files hold as a tensor a layer."""
_BUDGET = 32 << 20
"""Bytes that are read of a file: of more, as many layers, evenly spread over the model."""
_LARGEST_RANK = 1024
_TINY = 1 << 10
"""Bytes a layer's alpha has at most."""
_LAYOUTS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class _Pair:
    """A layer's two halves and its alpha, by their names in the file ("" for a missing alpha)."""

    down: str
    up: str
    alpha: str

    def size(self, header: Header) -> int:
        return _held(header, self.down) + _held(header, self.up)


def loudness(checkpoint: Path) -> float | None:
    """The median over layers of |ΔW| / √outputs, |·| being the root of the sum of squares and ΔW = (alpha / rank) B A.

    It is the size of what the adapter adds to an output when the inputs have size 1, whatever the layer's shape; a
    layer that keeps the size of its inputs has 1 by the same measure. Milliseconds: at most 32 MiB are read, and B A is
    never made. None where the file (or folder of files) is no plain LoRA (LoKr, LoHa, DoRA, a whole model) or can't be
    read; infinite where the numbers overflow.
    """
    files = sorted(checkpoint.rglob("*.safetensors")) if checkpoint.is_dir() else [checkpoint]
    found: list[float] = []
    for path in files:
        try:
            header = read_header(path)
            with path.open("rb") as file:
                found += _of_layers(file, header)
        except (StorageError, OSError, ValueError):  # the last: it is written anew just now
            return None
    return median(found) if found else None


def _of_layers(file: BinaryIO, header: Header) -> Iterator[float]:
    pairs = _pairs(header)
    step = max(1, -(-sum(pair.size(header) for pair in pairs) // _BUDGET))
    scale, left = _peft_alpha(header), _BUDGET
    for pair in pairs[::step]:
        left -= pair.size(header)
        if left < 0:  # layers of very different sizes
            return
        yield _of_layer(file, header, pair, scale)


def _of_layer(file: BinaryIO, header: Header, pair: _Pair, alpha: float | None) -> float:
    """|B A|² is the sum over the product of two small squares, BᵀB and A Aᵀ, element by element."""
    rank, outputs = header.tensors[pair.down][0], header.tensors[pair.up][0]
    down = _read(file, header, pair.down).reshape(rank, -1)
    up = _read(file, header, pair.up).reshape(outputs, rank)
    if pair.alpha:
        alpha = float(_read(file, header, pair.alpha).ravel()[0])
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(((up.T @ up) * (down @ down.T)).sum(dtype=np.float64))
        size = abs(1.0 if alpha is None else alpha / rank) * np.sqrt(max(square, 0.0) / outputs)
    return float(size) if np.isfinite(size) else np.inf


def _pairs(header: Header) -> list[_Pair]:
    """The layers of a plain LoRA, in the file's order."""
    if any(name.endswith((".dora_scale", ".lora_magnitude_vector.weight")) for name in header.tensors):
        return []  # their layers are brought back to a size of their own
    halves: dict[str, dict[str, str]] = {}
    for name in header.tensors:
        if (match := _HALVES.fullmatch(name)) and header.places[name].dtype in _LAYOUTS:
            halves.setdefault(match["layer"], {})["down" if match["half"] in _DOWN else "up"] = name
    found = []
    for layer, names in halves.items():
        alpha = f"{layer}.alpha"
        known = header.places.get(alpha)
        usable = known is not None and known.dtype in _LAYOUTS and 0 < known.end - known.begin <= _TINY
        pair = _Pair(names.get("down", ""), names.get("up", ""), alpha if usable else "")
        if f"{layer}.lora_mid.weight" not in header.tensors and pair.down and pair.up and _fits(header, pair):
            found.append(pair)
    return found


def _fits(header: Header, pair: _Pair) -> bool:
    """Whether the halves are of one rank and have the bytes that their shapes ask for."""
    down, up = header.tensors[pair.down], header.tensors[pair.up]
    shaped = len(down) > 1 and len(up) > 1 and 0 < down[0] <= _LARGEST_RANK and up[0] > 0
    whole = all(_bytes(header, name) == _held(header, name) for name in vars(pair).values() if name)
    return shaped and whole and int(np.prod(up)) == up[0] * down[0] and pair.size(header) <= _BUDGET


def _held(header: Header, name: str) -> int:
    return header.places[name].end - header.places[name].begin


def _bytes(header: Header, name: str) -> int:
    return int(np.prod(header.tensors[name], dtype=object)) * np.dtype(_LAYOUTS[header.places[name].dtype]).itemsize


def _peft_alpha(header: Header) -> float | None:
    """The one alpha that peft's settings name; None where there is none, or several."""
    try:
        told = json.loads(header.metadata.get(_PEFT, "{}"))
    except (ValueError, RecursionError):
        return None
    named = [v for k, v in told.items() if k.endswith("lora_alpha")] if isinstance(told, dict) else []
    return float(named[0]) if len(named) == 1 and isinstance(named[0], int | float) else None


def _read(file: BinaryIO, header: Header, name: str) -> NDArray[np.float32]:
    place = header.places[name]
    file.seek(place.begin)
    raw = np.frombuffer(file.read(place.end - place.begin), _LAYOUTS[place.dtype])
    if place.dtype == "BF16":
        raw = (raw.astype("<u4") << 16).view("<f4")
    return raw.astype(np.float32)
