"""The header of a safetensors file: names and shapes of its tensors, without reading a single weight."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from bracket.errors import StorageError
from bracket.files import storage_errors

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""

MAX_HEADER = 100_000_000
"""The format's own limit for a header, in bytes."""
_MOST_OF_IT = 25_000_000
_MOST_TENSORS, _MOST_AXES = 100_000, 8
"""No model comes near them; Python would take a gigabyte for the names of a million tensors."""

_AGAIN = "Download it again."
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})$")
_IMPOSTORS = (
    (b"version https://git-lfs", "This is a Git LFS pointer, not the weights", "Fetch it with `git lfs pull`."),
    (b"<!doctype", "This is a web page, not weights", "Download the file itself; its page may ask you to log in."),
    (b"<html", "This is a web page, not weights", "Download the file itself; its page may ask you to log in."),
    (b"<?xml", "This is an error message of a server, not weights", _AGAIN),
    (b"{", "This is a text file, not weights", _AGAIN),
    (b"entry not found", "This is an error message of a server, not weights", "Check its address."),
    (b"invalid username", "This is an error message of a server, not weights", "Log in, then download it again."),
    (
        b"access to model",
        "This is an error message of a server, not weights",
        "Ask for access, then download it again.",
    ),
    (b"pk\x03\x04", "This is a PyTorch checkpoint with another name, not safetensors", "Convert it to safetensors."),
    (b"\x80\x02", "This is a PyTorch checkpoint with another name, not safetensors", "Convert it to safetensors."),
    (b"gguf", "This is a GGUF file with another name, not safetensors", "Get the safetensors file of the model."),
)
"""How files that only claim to be safetensors begin, in lower case."""
_PICKLES = (b"pk\x03\x04", b"\x80\x02")


class Place(NamedTuple):
    """Where a tensor's numbers lie: their kind ("F32", "BF16"…), and its first byte and the one after its last."""

    dtype: str
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself; `places` are its tensors' in this very file, none for a set of files."""

    tensors: Shapes
    metadata: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)


def read_header(path: Path) -> Header:
    """The header of one safetensors file: 8 bytes of length (little-endian), then JSON.

    Milliseconds for a file of any size. See the format's description in the safetensors project.

    Raises:
        StorageError: the file can't be read, is something else, or is cut short; says which.
    """
    if not path.is_file() and path.exists():  # a pipe would be waited for
        raise StorageError("This is no file", path=path, remedy="Choose the weights' own file.")
    with storage_errors(path), path.open("rb") as file:
        size = path.stat().st_size
        start = file.read(64)
        _refuse_impostor(start, path)
        length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
        if not 2 <= length <= MAX_HEADER:
            raise StorageError("This is no safetensors file", path=path, remedy=_AGAIN)
        if 8 + length > size:
            raise _cut_short(size, 8 + length, path)
        if length > _MOST_OF_IT:
            raise StorageError("This file's header is larger than any model's", path=path, remedy=_AGAIN)
        file.seek(8)
        data = file.read(length)
    if data.count(b'"shape"') > _MOST_TENSORS:
        raise StorageError("This file names more tensors than any model has", path=path, remedy=_AGAIN)
    try:
        tensors, metadata, places = _parse(json.loads(data), 8 + length)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise StorageError("This is no safetensors file", path=path, remedy=_AGAIN) from error
    end = max([8 + length, *(place.end for place in places.values())])
    if size < end:
        raise _cut_short(size, end, path)
    if size > end:
        raise StorageError("This file is damaged: it is longer than its header says", path=path, remedy=_AGAIN)
    return Header(tensors, metadata, places)


def read_set(path: Path) -> Header:
    """The header of a file, or of all the files of a set when it is one of them (`x-00001-of-00003.safetensors`).

    Raises:
        StorageError: as read_header; also when a file of the set is missing.
    """
    shard = _SHARD.match(path.stem)
    if not shard:
        return read_header(path)
    stem, count = shard[1], int(shard[3])
    tensors: dict[str, tuple[int, ...]] = {}
    metadata: dict[str, str] = {}
    for number in range(1, count + 1):
        part = path.with_name(f"{stem}-{number:05d}-of-{count:05d}{path.suffix}")
        if not part.exists():
            message = f"File {number} of {count} of this set is missing"
            raise StorageError(message, path=part, remedy="Download the missing file.")
        header = read_header(part)
        tensors |= header.tensors
        metadata |= header.metadata
    return Header(tensors, metadata)


def set_name(path: Path) -> str:
    """The name that all files of a set share."""
    shard = _SHARD.match(path.stem)
    return shard[1] if shard else path.stem


def refuse_impostor(path: Path, pickled: bool) -> None:
    """Refuses a file that is none of weights by how it begins; a pickle of PyTorch where it may not be `pickled`.

    Raises:
        StorageError: says what it is.
    """
    with storage_errors(path), path.open("rb") as file:
        start = file.read(64)
    _refuse_impostor(start, path, () if not pickled else _PICKLES)


def _refuse_impostor(start: bytes, path: Path, but: tuple[bytes, ...] = ()) -> None:
    if not start.strip(b"\0"):
        what = "This file is empty" if not start else "This file begins with nothing, as unfinished downloads do"
        raise StorageError(what, path=path, remedy=_AGAIN)
    if start[8:9] == b"{":  # as in every safetensors file; its length may begin like any of these
        return
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, message, remedy in _IMPOSTORS:
        if text.startswith(beginning) and beginning not in but:
            raise StorageError(message, path=path, remedy=remedy)


def _cut_short(size: int, whole: int, path: Path) -> StorageError:
    message = f"This file is cut short: {size:,} of {whole:,} bytes are there"
    return StorageError(message, path=path, remedy=_AGAIN)


def _parse(raw: Any, after: int) -> tuple[dict[str, tuple[int, ...]], dict[str, str], dict[str, Place]]:
    """(shapes, metadata, places) of a header whose tensors begin at byte `after`."""
    metadata = {str(k): str(v) for k, v in raw.pop("__metadata__", {}).items()}
    places: dict[str, Place] = {}
    for name, entry in raw.items():
        shape, (start, end) = entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
        if len(shape) > _MOST_AXES or not all(type(n) is int and 0 <= n < 1 << 53 for n in numbers) or start > end:
            raise ValueError("an impossible shape")
        # Half a byte each is the least that a number takes, 16 the most.
        if not prod(shape) // 2 <= end - start <= 16 * prod(shape):
            raise ValueError("a shape that doesn't fit its data")
        places[str(name)] = Place(str(entry.get("dtype", "")), after + start, after + end)
    return {str(name): tuple(entry["shape"]) for name, entry in raw.items()}, metadata, places
