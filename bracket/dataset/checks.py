"""What a session checks of data and disk before its first training second."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bracket.dataset.reading.keys import NAMES
from bracket.dataset.reading.prompts import PROMPTS, SAMPLING, VERDICT_PROMPTS, PromptLine, has_word, read_prompts
from bracket.dataset.reading.scanning import scan
from bracket.domain import Picture, Problem
from bracket.errors import DatasetError

ENLARGED = 2.0
"""A picture that must grow by more than this to fill its bucket is worth a word."""
_OTHER = re.compile(r"(?<=is the same file as) .*|(?<=shares its caption) .*", re.DOTALL)
"""The part of a message that names another file: what is said before it is the same of many."""
SPARE = 1.2
"""Less room than this many times what is needed is worth a word."""


def check_dataset(
    folder: Path | str, *, trigger_word: str = "", resolution: int = 0, deep: bool = False, trainer: str = ""
) -> list[Problem]:
    """Everything wrong with a dataset's pictures, captions and prompt files, errors first.

    Args:
        folder: the dataset: a folder, or a `.toml` dataset file of sd-scripts or musubi-tuner; several, one a line.
        trigger_word: the word that captions should hold; "" when there is none.
        resolution: side in pixels of the square that pictures are trained at; 0 leaves their sizes alone.
        deep: decode every picture whole.
        trainer: who will train on it: what is said of captions and prompts depends on who reads them.
    """
    try:
        seen = scan(folder, deep=deep, trainer=trainer)
    except DatasetError as error:
        return [problem_of(error)]
    found = [*seen.problems, *trigger_problems(seen.pictures, trigger_word)]
    if resolution:
        found += _small_pictures(seen.pictures, resolution)
    for name in (PROMPTS, VERDICT_PROMPTS):
        found += _prompt_file_problems(seen.folder / name, trainer)
    return sorted(_folded(found), key=lambda p: ("error", "warning", "info").index(p.level))


def _folded(found: Iterable[Problem]) -> list[Problem]:
    """Findings that say the same of many files as one, with their count."""
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in found:
        alike.setdefault((problem.level, _OTHER.sub("", problem.message)), []).append(problem)
    return [
        same[0] if len(same) == 1 else replace(same[0], message=f"{same[0].message} ({len(same)} in all)")
        for same in alike.values()
    ]


def problem_of(error: DatasetError) -> Problem:
    """An error as a finding of a check."""
    return Problem("error", error.message, error.remedy, Path(error.path) if error.path else None)


def trigger_problems(pictures: Iterable[Picture], trigger_word: str) -> list[Problem]:
    """Says how many captions lack the trigger word as a word of its own, upper or lower case."""
    if not trigger_word.strip():
        return []
    captioned = [p for p in pictures if p.caption]
    lacking = [p for p in captioned if not has_word(p.caption, trigger_word.strip())]
    if not lacking:
        return []
    message = f"{len(lacking)} of {len(captioned)} captions lack the trigger word '{trigger_word}'"
    return [Problem("warning", message, "Add it to them, or change the trigger word.", lacking[0].path)]


def check_disk(folder: Path, needed_bytes: int) -> list[Problem]:
    """Whether `folder` (which need not exist yet) can be written and has room for `needed_bytes`."""
    place = folder.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [Problem("error", "Sessions can't be written here", "Choose a folder you own.", folder)]
    free = shutil.disk_usage(place).free
    if free >= needed_bytes * SPARE:
        return []
    message = f"This needs about {_size(needed_bytes)} of disk and {_size(free)} are free"
    if free < needed_bytes:
        return [Problem("error", message, "Free some space or choose another folder.", folder)]
    return [Problem("warning", message, "That is close; a full disk stops the run.", folder)]


def _size(count: int) -> str:
    """A number of bytes for people: 1.5 GB."""
    if count < 1_000_000:
        return f"{count / 1_000:.0f} kB"
    return f"{count / 1_000_000:.0f} MB" if count < 1_000_000_000 else f"{count / 1_000_000_000:.1f} GB"


def _small_pictures(pictures: Iterable[Picture], resolution: int) -> list[Problem]:
    small = [p for p in pictures if p.width and p.width * p.height * ENLARGED**2 < resolution**2]
    if not small:
        return []
    message = f"{len(small)} pictures are so small that training enlarges them more than {ENLARGED:g} times"
    return [Problem("warning", message, "Use larger ones, or a smaller resolution.", small[0].path)]


def _prompt_file_problems(path: Path, trainer: str) -> list[Problem]:
    if not path.exists():
        return []
    try:
        lines = read_prompts(path)
    except DatasetError as error:
        return [problem_of(error)]
    if lines:
        return _flag_problems(path, lines, trainer)
    return [Problem("warning", "This prompt file holds no prompt", "Write one prompt a line, or remove it.", path)]


def _flag_problems(path: Path, lines: Sequence[PromptLine], trainer: str) -> list[Problem]:
    """What prompts are drawn without, and those a person may have meant as comments."""
    found = []

    def told(lacking: Sequence[Collection[str]], who: str) -> None:
        names = ", ".join(sorted({f"--{f}" for flags in lacking for f in flags}))
        if count := sum(map(bool, lacking)):
            message = f"{count} of {len(lines)} prompts have flags that {who} and are drawn without them: {names}"
            found.append(Problem("warning", message, "Take them out, or write what is known.", path))

    told([line.unknown for line in lines], "no trainer here knows")
    known = {"d", *SAMPLING.get(trainer, ())}
    if trainer:
        told([line.flags.keys() - known for line in lines], f"{_TRAINERS.get(trainer, trainer)} doesn't know")
    if tagged := sum(line.text.startswith("#") for line in lines):
        message = f"{tagged} of {len(lines)} prompts begin with #; a comment has a blank after it"
        found.append(Problem("info", message, path=path))
    return found


_TRAINERS: dict[str, str] = {str(k): name for k, name in NAMES.items()} | {"builtin": "the built-in trainer"}
