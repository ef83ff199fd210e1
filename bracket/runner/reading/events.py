"""Reads the scalars of tfevents files as they grow; the cost of a read grows with the new bytes only.

A record is its length (uint64), the masked CRC32C of these 8 bytes, the bytes of an `Event` message, and their own
CRC32C. Checksums of the data are not looked at: computing them in Python costs ten times the rest. A length that
reaches beyond the file is checked, because waiting for a damaged one would be waiting for ever.
"""

from __future__ import annotations

import itertools
import os
import struct
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event

from bracket.domain import Problem

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps and values, of equal length."""

_HEADER = struct.Struct("<QI")
_BLOCK = 4 * 1024 * 1024
_WINDOW = 50
"""How many of the newest points the speed is measured over."""
_JUMP = 3600.0
"""Seconds between two points that are the clock's doing rather than the training's."""
# Formats of TensorFlow's DataType numbers: float, double, int32, int64, half.
_FORMATS = {1: "<f", 2: "<d", 3: "<i", 9: "<q", 19: "<e"}
_LISTS = {1: "float_val", 2: "double_val", 3: "int_val", 9: "int64_val"}


@dataclass
class _Columns:
    """The points of one tag that one read found."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    times: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class _File:
    offset: int = 0
    broken: bool = False


class EventReader:
    """All event files under a folder, which may not exist yet; a resumed run adds files.

    Attributes:
        problems: damaged files. What was read of them before the damage stays.
        size: bytes read so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._files: dict[Path, _File] = {}
        self._recent: dict[str, list[tuple[int, float]]] = {}

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return sum(file.offset for file in self._files.values())

    def read_new(self) -> dict[str, Curve]:
        """The points that came since the last call, by tag, in the order they were written.

        A record that is not whole yet waits for the next call. A resumed run repeats steps: join with `merge`.
        """
        found: defaultdict[str, _Columns] = defaultdict(_Columns)
        for path in sorted(self.folder.rglob("*tfevents*"), key=lambda path: (path.name, path)):
            file = self._files.setdefault(path, _File())
            if not file.broken:
                self._read(path, file, found)
        for tag, columns in found.items():
            newest = zip(columns.steps[-_WINDOW:], columns.times[-_WINDOW:], strict=True)
            self._recent[tag] = [*self._recent.get(tag, []), *newest][-_WINDOW:]
        return {
            tag: (np.array(columns.steps, np.int64), np.array(columns.values, np.float64))
            for tag, columns in found.items()
        }

    def read_all(self) -> dict[str, Curve]:
        """Every point from the start, by tag, one per step in order of steps; what `read_new` saw is not touched."""
        curves = EventReader(self.folder).read_new()
        return {tag: merge((steps[:0], values[:0]), (steps, values)) for tag, (steps, values) in curves.items()}

    def speed(self, tag: str, since: float = 0.0) -> float | None:
        """Steps per second of a tag's newest points written after `since`, by the writer's clock (unix time).

        None when there are fewer than two.
        """
        return pace([point for point in self._recent.get(tag, []) if point[1] >= since])

    def _read(self, path: Path, file: _File, found: dict[str, _Columns]) -> None:
        try:
            with open(path, "rb") as stream:
                if os.fstat(stream.fileno()).st_size < file.offset:
                    file.offset = 0  # written anew under the same name
                stream.seek(file.offset)
                rest = b""
                while block := stream.read(_BLOCK):
                    rest += block
                    used, file.broken = _parse(rest, found)
                    file.offset += used
                    rest = rest[used:]
                    if file.broken:
                        self._report(path, f"the event file is damaged at byte {file.offset}")
                        return
        except FileNotFoundError:
            return  # listed, then removed
        except OSError as error:
            file.broken = True
            self._report(path, f"the event file can't be read: {error.strerror}")

    def _report(self, path: Path, message: str) -> None:
        remedy = "Its curves end there; training itself is not affected."
        self.problems.append(Problem("warning", message, remedy, path))


def pace(points: Sequence[tuple[int, float]]) -> float | None:
    """Steps per second of (step, unix time) points; None when unknown. Where the clock was put back or far forward, the
    time between two points says nothing, and they are left out."""
    gaps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(points)]
    usable = [(steps, seconds) for steps, seconds in gaps if steps > 0 and 0 < seconds < _JUMP]
    steps, seconds = sum(steps for steps, _ in usable), sum(seconds for _, seconds in usable)
    return steps / seconds if seconds else None


def merge(first: Curve, second: Curve) -> Curve:
    """Joins two curves of one tag, in order of steps; where a step repeats, the later written value stays."""
    steps = np.concatenate([first[0], second[0]])
    values = np.concatenate([first[1], second[1]])
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)[: len(steps)]
    return steps[last], values[last]


def _parse(data: bytes, found: dict[str, _Columns]) -> tuple[int, bool]:
    """Takes the whole records at the start of `data`; returns how many bytes they were and whether damage follows."""
    position, end = 0, len(data)
    read_header, read_event = _HEADER.unpack_from, Event.FromString
    while position + _HEADER.size <= end:
        length, checksum = read_header(data, position)
        start = position + _HEADER.size
        stop = start + length
        # An empty event is nothing a writer writes, but what a hole in the file reads as.
        if (stop + 4 > end or not length) and checksum != _masked_crc32c(data[position : position + 8]):
            return position, True
        if stop + 4 > end:
            break
        try:
            event = read_event(data[start:stop])
        except DecodeError:
            return position, True
        if event.HasField("summary"):
            _collect(event, found)
        position = stop + 4
    return position, False


def _collect(event: Any, found: dict[str, _Columns]) -> None:
    for value in event.summary.value:
        number = value.simple_value if value.HasField("simple_value") else _tensor_scalar(value.tensor)
        if number is not None:
            columns = found[value.tag]
            columns.steps.append(event.step)
            columns.values.append(number)
            columns.times.append(event.wall_time)


def _tensor_scalar(tensor: Any) -> float | None:
    """The number in a tensor of one element; None for anything else (pictures, texts, histograms)."""
    layout = _FORMATS.get(tensor.dtype)
    if layout is None or any(dimension.size != 1 for dimension in tensor.tensor_shape.dim):
        return None
    if tensor.tensor_content:
        content = tensor.tensor_content
        return float(struct.unpack(layout, content)[0]) if len(content) == struct.calcsize(layout) else None
    numbers: Sequence[float] = getattr(tensor, _LISTS.get(tensor.dtype, "float_val"))
    return float(numbers[0]) if len(numbers) == 1 else None


def _masked_crc32c(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C (reflected polynomial 0x82F63B78), rotated right by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
