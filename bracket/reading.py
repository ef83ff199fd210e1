"""Reading what people bring, within bounds: nothing hangs, fills the memory or ends in a traceback.

Files must be regular ones: a pipe waits for ever and a device never ends. What they hold may be neither larger nor
nested deeper than people write it; what an alias repeats (the "billion laughs") counts as often as it is repeated.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 16 << 20
"""Of a text file, unless its reader says otherwise."""
MOST_VALUES = 500_000
MOST_DEPTH = 100
_MOST_TOML_BYTES, _MOST_DOTS = 1 << 20, 500
"""tomllib's time grows with the square of a dotted key's parts."""


class Unreadable(ValueError):
    """What is wrong with a file's contents, as the end of a sentence that begins with the file."""


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A whole regular file.

    Raises:
        OSError: as `open`.
        Unreadable: it is a pipe, a device or a folder, or has more than `most` bytes.
    """
    # without O_NONBLOCK, opening a pipe that nobody writes to waits for ever
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    if os.path.isdir(path):  # Windows says "permission denied" of a folder
        raise Unreadable("it is a folder, not a file")
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable("it is a pipe or a device, not a file")
        data = file.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"it is larger than such files are (over {most >> 20} MB)")
    return data


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A whole text file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Raises:
        OSError: as `open`.
        Unreadable: as `read_bytes`; it is no such text.
    """
    return decoded(read_bytes(path, most))


def decoded(data: bytes) -> str:
    """Text by its byte order mark, UTF-8 without one. Raises Unreadable."""
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"it is not UTF-8 text (line {line})") from error


def from_json(text: str | bytes, most: int = MOST_VALUES) -> Any:
    """Raises Unreadable: it is no JSON, nested too deep, or holds more than `most` values."""
    try:
        return bounded(json.loads(text), most)
    except RecursionError as error:
        raise _too_deep() from error
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"it is no JSON: {error}") from error


def from_toml(text: str) -> dict[str, Any]:
    """Raises Unreadable: it is no TOML, nested too deep, or too large."""
    if len(text) > _MOST_TOML_BYTES or any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
        raise Unreadable("it is larger, or a key in it longer, than such files are")
    try:
        value: dict[str, Any] = bounded(tomllib.loads(text))
    except RecursionError as error:
        raise _too_deep() from error
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"it is no TOML: {error}") from error
    return value


def from_yaml(text: str, loader: type[Any] | None = None) -> Any:
    """Plain data from YAML.

    Args:
        loader: a safe loader with rules of its own, instead of PyYAML's.

    Raises:
        Unreadable: it is no YAML, nested too deep, or repeats itself too often.
    """
    try:
        return bounded(yaml.load(text, Loader=loader or yaml.SafeLoader))
    except RecursionError as error:
        raise _too_deep() from error
    except yaml.YAMLError as error:
        raise Unreadable(f"it is no YAML: {' '.join(str(error).split())}") from error
    except Unreadable:
        raise
    except ValueError as error:  # such as the date 2026-13-45
        raise Unreadable(f"it is no YAML: {' '.join(str(error).split())}") from error


def bounded(value: Any, most: int = MOST_VALUES) -> Any:
    """`value` itself, where walking it visits at most `most` values, nested at most MOST_DEPTH deep.

    Raises:
        Unreadable: it doesn't; what refers to itself has no depth that is enough.
    """
    left, todo = most, [iter((value,))]
    while todo:
        for item in todo[-1]:
            left -= 1
            if left < 0:
                raise Unreadable(f"it holds over {most:,} values")
            if isinstance(item, dict | list | tuple | set):
                todo.append(iter(item.values() if isinstance(item, dict) else item))
                if len(todo) > MOST_DEPTH:
                    raise _too_deep()
                break
        else:
            todo.pop()
    return value


def _too_deep() -> Unreadable:
    return Unreadable(f"it is nested over {MOST_DEPTH} levels deep")


def why(error: OSError | Unreadable) -> str:
    """Either error as the end of a sentence that begins with the file."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
