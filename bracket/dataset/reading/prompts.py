"""Text a person wrote: captions and prompt files, in whatever encoding their editor chose."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bracket.errors import DatasetError
from bracket.reading import Unreadable, decoded, read_bytes, why

LONGEST_TEXT = 1_000_000
"""Bytes; a larger file is no caption or prompt list, whatever its name says."""
PROMPTS, VERDICT_PROMPTS = "prompts.txt", "verdict_prompts.txt"
WILDCARD = "wildcard"
"""Reads captions of several lines where sd-scripts' enable_wildcard is on: each is one to choose from."""
TRIGGER = "{{trigger}}"
"""Stands for the trigger word in a prompt file."""

_FLAG = re.compile(r"(?:^|\s)--([A-Za-z]\w*)(?=[=\s]|$)")
_COMMENT = re.compile(r"#+(\s|$)")
LINE_END = re.compile(r"\r\n|\r|\n")
"""Where Python's files, and so the trainers, end a line; `str.splitlines` knows more."""
SAME = {
    "seed": "d", "steps": "s", "cfg": "l", "frames": "f", "num_frames": "f", "network_multiplier": "m",
}  # fmt: skip
"""AI-Toolkit's longer names of a flag."""
SAMPLING: Mapping[str, Mapping[str, str]] = {
    "sd_scripts": {
        "w": "width", "h": "height", "s": "sample_steps", "l": "scale", "g": "guidance_scale", "n": "negative_prompt",
        "ss": "sample_sampler", "fs": "flow_shift", "cn": "controlnet_image", "ctr": "cfg_trunc_ratio",
        "rcfg": "renorm_cfg",
    },
    "musubi": {
        "w": "width", "h": "height", "s": "sample_steps", "l": "cfg_scale", "g": "guidance_scale",
        "n": "negative_prompt", "f": "frame_count", "fs": "discrete_flow_shift", "i": "image_path",
        "ei": "end_image_path", "cn": "control_video_path", "ci": "control_image_path", "of": "one_frame",
    },
    "ai_toolkit": {
        "w": "width", "h": "height", "s": "sample_steps", "l": "guidance_scale", "n": "neg", "f": "num_frames",
        "fps": "fps", "m": "network_multiplier", "ctrl_img": "ctrl_img",
    },
    "builtin": {"w": "width", "h": "height", "s": "steps", "l": "guidance", "g": "guidance", "n": "negative"},
}  # fmt: skip
"""The flags each trainer's own reader of prompt files knows, and what it calls them where a prompt is data (its
`line_to_prompt_dict`, AI-Toolkit's GenerateImageConfig). `--d` is the seed of all of them."""
_WHOLE = {"d": (1, 2**31 - 1), "w": (16, 8192), "h": (16, 8192), "s": (1, 1000), "f": (1, 10_000), "fps": (1, 240)}
_REAL = {"l": 1000.0, "g": 1000.0, "fs": 1000.0, "ctr": 1.0, "rcfg": 1000.0, "m": 100.0}
FILE_FLAGS = ("i", "ei", "cn", "ci", "ctrl_img")
_KNOWN = frozenset({"d"}).union(*SAMPLING.values())


@dataclass(frozen=True)
class PromptLine:
    """One line of a prompt file: its text, its flags by letter and as written, and those that no trainer knows."""

    text: str
    flags: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def read_text(path: Path, longest: int = LONGEST_TEXT) -> str:
    """A text file of at most `longest` bytes as UTF-8, or as UTF-16 where its first bytes say so.

    Raises:
        DatasetError: the file can't be read, is larger than any text of a dataset, or is in another encoding.
    """
    try:
        data = read_bytes(path, longest + 1)
        if len(data) > longest:
            remedy = "Is it the right file?"
            raise DatasetError("This file is too large for a text of a dataset", path=path, remedy=remedy)
        text = decoded(data)
    except (OSError, Unreadable) as error:
        remedy = "Save it as UTF-8." if isinstance(error, Unreadable) else "Check the file."
        raise DatasetError(f"This text can't be read: {why(error)}", path=path, remedy=remedy) from error
    if "\0" in text:
        raise DatasetError("This is not a text file", path=path, remedy="Save it as UTF-8 text.")
    return text


def one_line(text: str) -> str:
    """`text` with every run of white space, line breaks included, as one blank."""
    return " ".join(text.split())


def caption_text(text: str, reader: str = "") -> str:
    """What a trainer reads of a caption file: sd-scripts its first line, musubi-tuner, AI-Toolkit and sd-scripts'
    wildcards all of it with its line breaks; else all of it as one line."""
    lines = [one_line(line) for line in LINE_END.split(text)]
    if reader == "sd_scripts":
        return lines[0]
    return "\n".join(lines).strip() if reader in ("musubi", "ai_toolkit", WILDCARD) else one_line(text)


def has_lines(text: str) -> bool:
    """Whether a caption has words on more than one line."""
    return sum(bool(line.strip()) for line in LINE_END.split(text)) > 1


def read_prompts(path: Path) -> tuple[PromptLine, ...]:
    """The prompts of a file. Raises DatasetError, naming the line, where one can't be understood."""
    return parse_prompts(read_text(path), path)


def parse_prompts(text: str, path: Path | None = None) -> tuple[PromptLine, ...]:
    """One prompt a line; empty lines are skipped, and comments: `#` alone or with a blank after it. `#tag` is a prompt.

    A prompt may be followed by the flags of any trainer (`SAMPLING`), in any case: `--d` seed, `--w` width, `--h`
    height, `--s` steps, `--l` and `--g` guidance take one number, `--n` a negative prompt: all up to the next flag.
    What no trainer knows is left out of the prompt, as the trainers do, and noted.

    Raises:
        DatasetError: a flag without its value, a value that can't be, or words that belong to neither prompt nor flag.
    """
    lines = []
    for number, raw in enumerate(LINE_END.split(text), 1):
        line = one_line(raw)
        if not line or _COMMENT.match(line):
            continue
        try:
            lines.append(_parse_line(line, path))
        except ValueError as error:
            remedy = "Write: prompt --d seed --w width --h height --n negative prompt"
            raise DatasetError(f"Line {number}: {error}", path=path, remedy=remedy) from error
    return tuple(lines)


def _parse_line(line: str, path: Path | None) -> PromptLine:
    parts = _FLAG.split(line)
    text, flags, unknown = parts[0].strip(), {}, []
    if not text:
        raise ValueError("there is no prompt before the first flag")
    for name, value in zip(parts[1::2], (p.removeprefix("=").strip() for p in parts[2::2]), strict=True):
        letter = SAME.get(name.lower(), name.lower())
        if letter not in _KNOWN:
            unknown.append(name)
        elif letter != "n":
            flags[letter] = _value(name, letter, value, path)
        elif value:
            flags[letter] = value
    return PromptLine(text, flags, tuple(unknown))


def _value(name: str, letter: str, value: str, path: Path | None) -> str:
    first, _, rest = value.partition(" ")
    if not first:
        raise ValueError(f"--{name} has no value")
    if letter in FILE_FLAGS:
        place = os.path.abspath(path.parent / value if path else value)
        return place if os.path.exists(place) else value
    if rest:
        raise ValueError(f"'{rest}' after --{name} {first} belongs to no flag")
    if letter in _WHOLE:
        low, high = _WHOLE[letter]
        if not (first.isascii() and first.isdigit() and len(first) < 20 and low <= int(first) <= high):
            raise ValueError(f"--{name} takes a whole number from {low} to {high}, not '{first}'")
    if letter in _REAL:
        try:
            fits = 0 <= float(first) <= _REAL[letter]
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"--{name} takes a number from 0 to {_REAL[letter]:g}, not '{first}'")
    return first


def sampling(trainer: str, flags: Mapping[str, str]) -> dict[str, Any]:
    """A prompt's flags as the trainer's own settings of a prompt; those it doesn't know are left out."""
    known = SAMPLING.get(trainer, {})
    return {known[f]: _typed(f, value) for f, value in flags.items() if f in known}


def _typed(letter: str, value: str) -> object:
    if letter in _WHOLE:
        return int(value)
    if letter in _REAL:
        return float(value)
    return [value] if letter == "ci" else value


def has_word(text: str, word: str) -> bool:
    """Whether `word` (or phrase) stands in the text as a whole, in any case; never when it is ""."""
    return bool(word) and _whole(word).search(text) is not None


def without_trigger(text: str, trigger: str, class_word: str) -> str:
    """The text with the class word in the trigger word's place, or without it, and with single spaces.

    A class word that follows the trigger already ("sks dog") isn't said twice.
    """
    if trigger:
        text = _whole(trigger).sub(lambda _: class_word, text)
        if class_word:
            doubled = re.compile(rf"({_whole(class_word).pattern})\s+{_whole(class_word).pattern}", re.IGNORECASE)
            text = doubled.sub(r"\1", text)
    return " ".join(text.split())


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
