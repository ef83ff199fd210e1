"""Text a person wrote: captions and prompt files, in whatever encoding their editor chose."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bracket.errors import DatasetError

LONGEST_TEXT = 1_000_000
"""Bytes; a larger file is no caption or prompt list, whatever its name says."""
TRIGGER = "{{trigger}}"
"""Stands for the trigger word in a prompt file."""

_FLAG = re.compile(r"(?:^|\s)--([A-Za-z]+)(?=\s|$)")
_NUMBERS: Mapping[str, Callable[[str], float]] = {
    "w": int, "h": int, "d": int, "s": int, "f": int, "l": float, "g": float, "fs": float,
}  # fmt: skip
_WORDS = ("i", "ei", "cn", "ci", "of", "am")
"""Flags of other trainers that take one word: files and the like."""


@dataclass(frozen=True)
class PromptLine:
    """One line of a prompt file. `flags` holds what else was given, by the flag's name and as written."""

    text: str
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    negative: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)


def read_text(path: Path, longest: int = LONGEST_TEXT) -> str:
    """A text file of at most `longest` bytes as UTF-8, or as UTF-16 where its first bytes say so.

    Raises:
        DatasetError: the file can't be read, is larger than any text of a dataset, or is in another encoding.
    """
    try:
        with path.open("rb") as file:
            data = file.read(longest + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"This text can't be read: {reason}", path=path, remedy="Check the file.") from error
    if len(data) > longest:
        raise DatasetError("This file is too large for a text of a dataset", path=path, remedy="Is it the right file?")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DatasetError("This text is not UTF-8", path=path, remedy="Save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetError("This is not a text file", path=path, remedy="Save it as UTF-8 text.")
    return text


def one_line(text: str) -> str:
    """`text` with every run of white space, line breaks included, as one blank."""
    return " ".join(text.split())


def read_prompts(path: Path) -> tuple[PromptLine, ...]:
    """The prompts of a file. Raises DatasetError, naming the line, where one can't be understood."""
    return parse_prompts(read_text(path), path)


def parse_prompts(text: str, path: Path | None = None) -> tuple[PromptLine, ...]:
    """One prompt a line; empty lines and lines that start with `#` are skipped.

    A prompt may be followed by flags as sd-scripts and musubi-tuner write them: `--d` seed, `--w` width, `--h` height,
    `--s` steps, `--l` and `--g` guidance take one number, `--n` takes a negative prompt: all up to the next flag.

    Raises:
        DatasetError: an unknown flag, a flag without its value, or words that belong to neither prompt nor flag.
    """
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = one_line(raw)
        if not line or line.startswith("#"):
            continue
        try:
            lines.append(_parse_line(line))
        except ValueError as error:
            remedy = "Write: prompt --d seed --w width --h height --n negative prompt"
            raise DatasetError(f"Line {number}: {error}", path=path, remedy=remedy) from error
    return tuple(lines)


def _parse_line(line: str) -> PromptLine:
    parts = _FLAG.split(line)
    text, flags = parts[0].strip(), {}
    if not text:
        raise ValueError("there is no prompt before the first flag")
    for name, value in zip(parts[1::2], (p.strip() for p in parts[2::2]), strict=True):
        flags[name] = _value(name, value)
    known = {"d": flags.pop("d", None), "w": flags.pop("w", None), "h": flags.pop("h", None)}
    seed, width, height = (None if v is None else int(v) for v in known.values())
    return PromptLine(text, seed, width, height, flags.pop("n", ""), flags)


def _value(name: str, value: str) -> str:
    if name == "n":
        return value
    if name not in _NUMBERS and name not in _WORDS:
        raise ValueError(f"--{name} is not known; known: {', '.join('--' + f for f in (*_NUMBERS, *_WORDS, 'n'))}")
    first, _, rest = value.partition(" ")
    if not first:
        raise ValueError(f"--{name} has no value")
    if rest:
        raise ValueError(f"'{rest}' after --{name} {first} belongs to no flag")
    if name in _NUMBERS:
        try:
            _NUMBERS[name](first)
        except ValueError:
            raise ValueError(f"--{name} takes a number, not '{first}'") from None
    return first
