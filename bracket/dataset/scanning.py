"""Finding pictures and their captions in a dataset, quickly and without ever stopping at a bad file.

Only headers are read, unless a deep scan is asked for, and what was read of a file is remembered until its size or
time changes: a second scan costs a directory listing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bracket.dataset.description import Description, read_description
from bracket.dataset.headers import File, Header, Progress, duplicates_of, headers_of
from bracket.dataset.media import SUFFIXES, VIDEO_SUFFIXES, Held, Item, caption_beside, files_of, items_of, listing
from bracket.domain import Picture, Problem, Source
from bracket.errors import DatasetError

OTHER_SUFFIXES = VIDEO_SUFFIXES | {".gif", ".heic", ".heif", ".jxl", ".jp2", ".psd"}
"""Pictures and clips a person may expect to be used, and that are not read from a folder of pictures."""
CAPTION_SUFFIXES = (".txt", ".caption")
VALIDATION = "validation"
"""In a dataset that is a folder, a subfolder of this name holds the pictures for the validation loss."""


@dataclass(frozen=True)
class Scan:
    """What a dataset holds: readable pictures (by source and name), those of its `validation` folder, what is wrong.

    `folder` is the dataset itself, or where its file lies. Regularisation pictures are checked but not among
    `pictures`. `duplicates` are groups of pictures whose files are the same to the byte.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...]
    validation: tuple[Picture, ...] = ()
    duplicates: tuple[tuple[Path, ...], ...] = ()
    sources: tuple[Source, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def captioned(self) -> int:
        """How many of `pictures` have a caption."""
        return sum(bool(p.caption) for p in self.pictures)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.level == "error")


@dataclass(frozen=True)
class _Part:
    """A source with what it holds, and where its captions are looked for."""

    number: int
    source: Source
    held: Held
    suffixes: tuple[str, ...]


def scan(folder: Path | str, *, deep: bool = False, progress: Progress | None = None) -> Scan:
    """Reads a folder of pictures, each with its caption in `<stem>.txt` (or `.caption`) beside it, or a dataset file.

    Args:
        folder: the folder, or a `.toml` dataset file of sd-scripts or musubi-tuner.
        deep: decode every picture whole, which also finds those cut off after their header.
        progress: called with (pictures done, pictures in all).

    Raises:
        DatasetError: the folder or file is missing or can't be read, or the file says what it may not. Anything wrong
            with a picture is a problem of the scan.
    """
    path = Path(os.path.expanduser(folder)).absolute()
    described = read_description(path)
    plain = os.path.isdir(path)
    parts = [
        _Part(n, s, items_of(s), CAPTION_SUFFIXES if plain else (s.caption_suffix,))
        for n, s in enumerate(described.sources)
    ]
    held_out = []
    if plain and (path / VALIDATION).is_dir():
        source = Source(path / VALIDATION)
        held_out = [_Part(0, source, items_of(source), CAPTION_SUFFIXES)]
    files = {i.path: _file(i.path) for part in (*parts, *held_out) for i in part.held.items}
    stills = {i.path: files[i.path] for p in (*parts, *held_out) if p.source.media == "image" for i in p.held.items}
    headers = headers_of(list(stills.values()), deep, progress)
    problems: list[Problem] = []
    found = {part.number: _usable(part, stills, headers, problems) for part in parts}
    validation = tuple(p for part in held_out for p in _usable(part, stills, headers, problems))
    pictures = tuple(p for n, s in enumerate(described.sources) if not s.regularisation for p in found[n])
    problems[:0] = _nothing_found(path, parts, found)
    duplicates = duplicates_of([files[p] for p in dict.fromkeys(p.path for p in (*pictures, *validation))])
    root = path if plain else path.parent
    if plain:
        problems += _folder_problems(path, {path / VALIDATION}, SUFFIXES)
    else:
        problems += _file_problems(path, described)
    problems += _remark_problems(headers)
    for group in duplicates:
        also = ", ".join(os.path.relpath(p, root) for p in group[1:])
        remedy = "Remove one; a duplicate counts twice and is never held out."
        problems.append(Problem("warning", f"This picture is the same file as {also}", remedy, group[0]))
    return Scan(root, pictures, tuple(problems), validation, duplicates, described.sources, described.options)


def _file(path: Path) -> File:
    try:
        stat = path.stat()
    except OSError:
        return File(path, (0, 0))  # gone since it was listed; reading its header says so
    return File(path, (stat.st_mtime_ns, stat.st_size))


def _nothing_found(path: Path, parts: Sequence[_Part], found: Mapping[int, Sequence[Picture]]) -> list[Problem]:
    problems = []
    for part in parts:
        if not found[part.number]:
            clips = part.source.media == "video"
            kinds = ", ".join(sorted(s[1:] for s in (VIDEO_SUFFIXES if clips else SUFFIXES)))
            message = f"There is no usable {'clip' if clips else 'picture'} here"
            problems.append(Problem("error", message, f"These are read: {kinds}.", part.source.folder))
    if all(part.source.regularisation for part in parts):
        remedy = "Add a folder that is not is_reg."
        problems.append(Problem("error", "All of this dataset only keeps the model as it was", remedy, path))
    return problems


def _usable(
    part: _Part, stills: Mapping[Path, File], headers: Mapping[File, Header], problems: list[Problem]
) -> tuple[Picture, ...]:
    """The pictures of a source; what is wrong with them goes to `problems`."""
    pictures = []
    captions: dict[Path, Path] = {}
    problems += part.held.problems
    for item in part.held.items:
        header = headers[stills[item.path]] if part.source.media == "image" else Header()
        if header.error:
            remedy = "Replace it or take it out."
            problems.append(Problem("error", f"This picture can't be used: {header.error}", remedy, item.path))
            continue
        caption, file, problem = _caption(item, part)
        if problem:
            problems.append(problem)
        if file and file in captions:
            message = f"This picture shares its caption {file.name} with {captions[file].name}"
            problems.append(Problem("warning", message, "Rename one of them.", item.path))
        elif file:
            captions[file] = item.path
        pictures.append(Picture(item.path, caption, header.width, header.height, part.number, item.controls))
    return tuple(pictures)


def _caption(item: Item, part: _Part) -> tuple[str, Path | None, Problem | None]:
    """Caption in one line, the file it came from, and what is wrong with it."""
    if item.caption is None:
        caption, file, problem = caption_beside(item.path, part.suffixes)
    else:
        caption, file, problem = item.caption, None, None
        if not caption:
            problem = Problem("warning", "This caption is empty", "Write what the picture shows.", item.path)
    if not caption and part.source.class_words and (problem is None or problem.level == "warning"):
        return part.source.class_words, file, None
    if part.source.media == "video" and problem:
        problem = replace(problem, message=problem.message.replace("picture", "clip"))
    return caption, file, problem


def _file_problems(path: Path, described: Description) -> list[Problem]:
    """What a dataset file says that is done in another way here, and what lies unread in its folders."""
    found = []
    said = [described.options, *(s.options for s in described.sources)]
    if any(o.get("validation_split") for o in said):
        message = "validation_split is not used while bracket holds pictures out itself"
        found.append(Problem("info", message, path=path))
    if any(o.get("enable_wildcard") for o in said):
        message = "Captions of several lines are read as one line, so enable_wildcard no longer chooses among them"
        found.append(Problem("warning", message, "Use {a|b} within a line.", path))
    used = {f for s in described.sources for f in (s.folder, *s.controls)}
    for folder in dict.fromkeys(s.folder for s in described.sources if s.media == "image" and _is_folder(s)):
        both = any(s.media == "video" for s in described.sources if s.folder == folder)
        found += _folder_problems(folder, used, SUFFIXES | VIDEO_SUFFIXES if both else SUFFIXES)
    return found


def _is_folder(source: Source) -> bool:
    return not {"image_jsonl_file", "video_jsonl_file", "metadata_file"} & source.options.keys()


def _folder_problems(folder: Path, used: Iterable[Path], read: frozenset[str]) -> list[Problem]:
    found = []
    entries = listing(folder)
    others = Counter(s for e in entries if (s := Path(e.name).suffix.lower()) in OTHER_SUFFIXES - read)
    if others:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(others.items()))
        found.append(Problem("warning", f"Files of kinds that are not read: {kinds}", "Convert them to PNG.", folder))
    any_here = bool(files_of(entries))
    for entry in entries:
        if Path(entry.path) not in used and entry.is_dir() and (inside := _count_inside(Path(entry.path))):
            remedy = "Move them up, or choose that folder."
            message = (
                f"{inside} pictures in this subfolder are not used" if any_here else f"{inside} pictures lie in here"
            )
            found.append(Problem("warning", message, remedy, Path(entry.path)))
    return found


def _count_inside(folder: Path) -> int:
    try:
        return len(files_of(listing(folder)))
    except DatasetError:
        return 0


def _remark_problems(headers: dict[File, Header]) -> list[Problem]:
    counts = Counter(remark for h in headers.values() for remark in h.remarks)
    first = {remark: f.path for f, h in reversed(headers.items()) for remark in h.remarks}
    return [Problem("info", f"Pictures that are {r}: {n}", path=first[r]) for r, n in counts.items()]
