"""What a source of a dataset holds: its pictures or clips with the captions and controls that belong to them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bracket.dataset.reading.prompts import WILDCARD, caption_text, has_lines, one_line, read_text
from bracket.domain import Problem, Source
from bracket.errors import DatasetError
from bracket.reading import Unreadable, from_json

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".webp", ".bmp", ".dib", ".avif", ".tif", ".tiff", ".tga",
    ".apng",
})  # fmt: skip
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".mov", ".webm", ".avi", ".mkv", ".flv", ".wmv", ".m4v", ".mpg", ".mpeg",
})  # fmt: skip
CAPTION_SUFFIXES = (".txt", ".caption")
_MASK = re.compile(r"(.+?)[-_.](?:masklabel|condlabel|(?:alpha_?)?mask)", re.IGNORECASE | re.DOTALL)
"""`cat-masklabel.png` of OneTrainer and the like, beside `cat.png`."""
_NUMBER = re.compile(r"(.+)_([0-9]+)", re.DOTALL)
LARGEST_LIST = 1 << 28
"""Bytes; a larger list of captions is taken for another file."""
_MOST_ENTRIES = 5_000_000


_LINES = {
    "": "This caption has several lines, which are read as one",
    "sd_scripts": "This caption has several lines; sd-scripts reads the first, and so does bracket",
    "musubi": "This caption has several lines, which musubi-tuner reads with their line breaks",
    WILDCARD: "This caption has several lines, of which sd-scripts chooses one at every step",
    "ai_toolkit": "This caption has several lines, which AI-Toolkit reads with their line breaks",
}


@dataclass(frozen=True)
class Item:
    """A picture or clip, with its caption where a list gave one (None: look beside it)."""

    path: Path
    caption: str | None = None
    controls: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Held:
    """What was found of a source and what is wrong with it."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...] = ()


def listing(folder: Path, hidden: bool = False) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, hidden files left out. Raises DatasetError where it can't be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if hidden or not e.name.startswith(".")), key=lambda e: e.name)
    except FileNotFoundError as error:
        remedy = "Check the path, or choose another folder."
        raise DatasetError("The dataset folder does not exist", path=folder, remedy=remedy) from error
    except NotADirectoryError as error:
        remedy = "Choose the folder that holds the pictures, or a .toml dataset file."
        raise DatasetError("This is a file, not a folder", path=folder, remedy=remedy) from error
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Check its permissions."
        raise DatasetError(f"The dataset folder can't be read: {reason}", path=folder, remedy=remedy) from error


def files_of(entries: Iterable[os.DirEntry[str]], suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """The files with one of these suffixes, upper or lower case; pipes, devices and broken links are none."""
    named = (e for e in entries if os.path.splitext(e.name)[1].lower() in suffixes)
    return [Path(e.path) for e in named if (os.path.isfile(e.path) if e.is_symlink() else e.is_file())]


def looks_masked(path: Path) -> bool:
    """Whether a picture is called like the mask of another one."""
    return _MASK.fullmatch(path.stem) is not None


def _is_mask(path: Path, stems: Collection[str]) -> bool:
    named = _MASK.fullmatch(path.stem)
    return named is not None and named[1] in stems


def items_of(source: Source) -> Held:
    """Everything a source trains on, in order. Raises DatasetError where its folder or list can't be read."""
    for key in ("image_jsonl_file", "video_jsonl_file"):
        if key in source.options:
            return _of_jsonl(Path(str(source.options[key])), source)
    if "metadata_file" in source.options:
        return _of_metadata(Path(str(source.options["metadata_file"])), source)
    suffixes = VIDEO_SUFFIXES if source.media == "video" else SUFFIXES
    paths = files_of(listing(source.folder), suffixes)
    stems = {p.stem for p in paths}
    paths = [p for p in paths if not _is_mask(p, stems)]
    if source.options.get("multiple_target"):
        more = {t for targets in further_targets(paths, source).values() for t in targets}
        paths = [p for p in paths if p not in more]
    if not source.controls:
        return Held(tuple(map(Item, paths)))
    pairs = _paired(paths, source)
    alone = tuple(_no_control(p) for p in paths if p not in pairs)
    return Held(tuple(Item(p, None, pairs[p]) for p in paths if p in pairs), alone)


def _no_control(path: Path) -> Problem:
    remedy = "Put one with the same name into the control folder."
    return Problem("warning", "This has no control picture and is left out", remedy, path)


def _paired(paths: Sequence[Path], source: Source) -> dict[Path, tuple[Path, ...]]:
    """The controls of those that have some in every control folder."""
    pairs = [_clip_controls(paths, f) if source.media == "video" else _controls(paths, f) for f in source.controls]
    return {p: tuple(c for found in pairs for c in found[p]) for p in paths if all(p in found for found in pairs)}


def _controls(paths: Sequence[Path], folder: Path) -> dict[Path, tuple[Path, ...]]:
    """By musubi-tuner's rule: the picture's stem, then stem_0, stem_1 …; pictures of one stem share them."""
    found = _numbered(files_of(listing(folder)), {p.stem for p in paths})
    return {p: tuple(found[p.stem]) for p in paths if p.stem in found}


def further_targets(paths: Sequence[Path], source: Source) -> dict[Path, list[Path]]:
    """By musubi-tuner's `multiple_target`: pictures stem_0, stem_1 … without captions belong to the one called stem."""
    captioned = [p for p in paths if p.with_suffix(source.caption_suffix).is_file()]
    bare = set(paths) - set(captioned)
    found = _numbered(bare, {p.stem for p in captioned})
    return {p: found.get(p.stem, []) for p in captioned}


def _numbered(paths: Iterable[Path], stems: Collection[str]) -> dict[str, list[Path]]:
    """Those called like one of the stems, or like it with _0, _1 … after it, in this order. Longer stems go first."""
    ranks: dict[str, dict[Path, int]] = defaultdict(dict)
    for path in paths:
        cut = _NUMBER.fullmatch(path.stem)
        if path.stem in stems:
            ranks[path.stem][path] = -1
        elif cut and cut[1] in stems:
            ranks[cut[1]][path] = int(cut[2])
    return {stem: sorted(found, key=lambda p: (found[p], p.name)) for stem, found in ranks.items()}


def _clip_controls(paths: Sequence[Path], folder: Path) -> dict[Path, tuple[Path, ...]]:
    """By musubi-tuner's rule: the same name, else a folder of frames called like the stem, else another ending."""
    entries = listing(folder)
    by_name = {e.name: Path(e.path) for e in entries}
    by_stem = {p.stem: p for p in reversed(files_of(entries, VIDEO_SUFFIXES))}
    pairs: dict[Path, tuple[Path, ...]] = {}
    for path in paths:
        frames = by_name.get(path.stem)
        found = by_name.get(path.name) or (frames if frames and frames.is_dir() else None) or by_stem.get(path.stem)
        if found:
            pairs[path] = (found,)
    return pairs


def _of_jsonl(path: Path, source: Source) -> Held:
    items, problems = [], []
    name = "video_path" if source.media == "video" else "image_path"
    for number, line in _lines(path):
        where = line.get(name, line.get(f"{name}_0"))
        caption = line.get("caption")
        controls = [line[k] for k in sorted((k for k in line if _is_control(k)), key=_control_number)]
        if f"{name}_1" in line:
            message = f"Line {number} of this list has several targets, which are read from folders only"
            raise DatasetError(message, path=path, remedy="Name a folder with image_directory.")
        if not isinstance(where, str) or not isinstance(caption, str) or not all(isinstance(c, str) for c in controls):
            raise DatasetError(
                f"Line {number} of this list is wrong", path=path, remedy=f'Write {{"{name}": …, "caption": …}}.'
            )
        item = Item(beside(where, path.parent), one_line(caption), tuple(beside(c, path.parent) for c in controls))
        lacking = [p for p in (item.path, *item.controls) if not os.path.exists(p)]
        if lacking:
            message = f"Line {number} of {path.name} names a file that is not there"
            problems.append(Problem("error", message, "Correct the list.", lacking[0]))
        else:
            items.append(item)
    if any(item.controls for item in items):
        problems += [_no_control(item.path) for item in items if not item.controls]
        items = [item for item in items if item.controls]
    return Held(tuple(items), tuple(problems))


def _is_control(key: str) -> bool:
    return key == "control_path" or key.removeprefix("control_path_").isdigit()


def _control_number(key: str) -> int:
    return -1 if key == "control_path" else int(key.removeprefix("control_path_"))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(_whole(path).splitlines(), 1):
        if text.strip():
            try:
                line = from_json(text)
            except Unreadable:
                line = None
            if not isinstance(line, dict):
                raise DatasetError(f"Line {number} of this list is no JSON object", path=path, remedy="Correct it.")
            yield number, line


def _of_metadata(path: Path, source: Source) -> Held:
    """sd-scripts' fine-tuning style: {path or stem: {"caption", "tags"}}."""
    try:
        entries = from_json(_whole(path), _MOST_ENTRIES)
    except Unreadable as error:
        raise DatasetError(f"This metadata file is damaged: {error}", path=path, remedy="Write it again.") from error
    if not isinstance(entries, dict) or not all(isinstance(v, dict) for v in entries.values()):
        raise DatasetError("This metadata file is not one of sd-scripts", path=path, remedy="Write it again.")
    stems = {p.stem: p for p in files_of(listing(source.folder))}
    items, problems = [], []
    for key, entry in entries.items():
        picture = stems.get(key, beside(key, source.folder))
        said = [str(entry[k]).strip() for k in ("caption", "tags") if entry.get(k)]
        if os.path.isfile(picture):
            items.append(Item(picture, one_line(", ".join(said))))
        else:
            problems.append(Problem("error", f"{path.name} names a file that is not there", "Correct it.", picture))
    return Held(tuple(items), tuple(problems))


def _whole(path: Path) -> str:
    return read_text(path, LARGEST_LIST)


def beside(text: str, folder: Path) -> Path:
    """The path a dataset file means: relative to the file's folder where that exists, else to the current folder."""
    path = Path(os.path.expanduser(text))
    near = folder / path
    return near if os.path.exists(near) else path.absolute()


def caption_beside(picture: Path, suffixes: Sequence[str], reader: str = "") -> tuple[str, Path | None, Problem | None]:
    """The caption as a trainer reads it, the file it came from, and what is wrong with it; the first suffix that
    exists counts, in lower or upper case."""
    for path in (picture.with_suffix(s) for suffix in suffixes for s in dict.fromkeys((suffix, suffix.upper()))):
        if not path.is_file():
            continue
        try:
            text = read_text(path)
        except DatasetError as error:
            return "", path, Problem("error", error.message, error.remedy, path)
        caption = caption_text(text, reader)
        empty = Problem("warning", "This caption is empty", "Write what the picture shows.", path)
        if has_lines(text):
            level: Literal["info", "warning"] = "info" if caption and reader != "sd_scripts" else "warning"
            empty = Problem(level, _LINES.get(reader, _LINES[""]), "" if caption else empty.remedy, path)
        return caption, path, None if caption and not has_lines(text) else empty
    remedy = f"Write what it shows into {picture.stem}{suffixes[0]} beside it."
    return "", None, Problem("warning", "This picture has no caption", remedy, picture)
