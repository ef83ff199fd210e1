"""Finding pictures and their captions in a dataset, quickly and without ever stopping at a bad file.

Only headers are read, unless a deep scan is asked for, and what was read of a file is remembered until its size or
time changes: a second scan costs a directory listing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bracket.dataset.reading.description import Description, read_description
from bracket.dataset.reading.headers import TRANSPARENT, File, Header, Progress, duplicates_of, headers_of
from bracket.dataset.reading.layout import VALIDATION
from bracket.dataset.reading.media import (
    CAPTION_SUFFIXES,
    SUFFIXES,
    VIDEO_SUFFIXES,
    Held,
    Item,
    caption_beside,
    files_of,
    items_of,
    listing,
)
from bracket.dataset.reading.prompts import PROMPTS, VERDICT_PROMPTS, WILDCARD
from bracket.dataset.reading.unused import unused_in
from bracket.domain import Picture, Problem, Source


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
    reader: str


def scan(folder: Path | str, *, deep: bool = False, trainer: str = "", progress: Progress | None = None) -> Scan:
    """Reads a folder of pictures, each with its caption in `<stem>.txt` (or `.caption`) beside it, or a dataset file.

    Args:
        folder: the folder (see `layout`), or a `.toml` dataset file of sd-scripts or musubi-tuner; several of them, one
            a line. Prompt files and a `validation` folder are looked for in the first.
        deep: decode every picture whole, which also finds those cut off after their header.
        trainer: who will read captions of several lines.
        progress: called with (pictures done, pictures in all).

    Raises:
        DatasetError: the folder or file is missing or can't be read, or the file says what it may not. Anything wrong
            with a picture is a problem of the scan.
    """
    described = read_description(folder)
    root, plain = described.root, described.plain

    def reader(source: Source) -> str:
        chosen = trainer == "sd_scripts" and {**described.options, **source.options}.get("enable_wildcard")
        return WILDCARD if chosen else trainer

    parts = [
        _Part(n, s, items_of(s), CAPTION_SUFFIXES if s.folder in plain else (s.caption_suffix,), reader(s))
        for n, s in enumerate(described.sources)
    ]
    held_out = []
    if plain and (root / VALIDATION).is_dir():
        source = Source(root / VALIDATION)
        held_out = [_Part(0, source, items_of(source), CAPTION_SUFFIXES, trainer)]
    files = {i.path: _file(i.path) for part in (*parts, *held_out) for i in part.held.items}
    stills = {i.path: files[i.path] for p in (*parts, *held_out) if p.source.media == "image" for i in p.held.items}
    headers = headers_of(list(stills.values()), deep, progress)
    problems: list[Problem] = []
    captions: set[Path] = set()
    found = {part.number: _usable(part, stills, headers, problems, captions) for part in parts}
    validation = tuple(p for part in held_out for p in _usable(part, stills, headers, problems, captions))
    pictures = tuple(p for n, s in enumerate(described.sources) if not s.regularisation for p in found[n])
    problems[:0] = [*described.said, *_nothing_found(next(iter(described.files), root), parts, found)]
    duplicates = duplicates_of([files[p] for p in dict.fromkeys(p.path for p in (*pictures, *validation))])
    problems += _told_of_files(described, trainer)
    taken = {*files, *captions, *_named_elsewhere(parts), root / PROMPTS, root / VERDICT_PROMPTS}
    trained = {p.path.with_suffix("") for own in (*found.values(), validation) for p in own}
    problems += _unused(described, taken, trained)
    problems += _remark_problems(headers, trainer)
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
    part: _Part, stills: Mapping[Path, File], headers: Mapping[File, Header], problems: list[Problem], used: set[Path]
) -> tuple[Picture, ...]:
    """The pictures of a source; what is wrong with them goes to `problems`, the caption files read to `used`."""
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
    used.update(captions)
    return tuple(pictures)


def _caption(item: Item, part: _Part) -> tuple[str, Path | None, Problem | None]:
    """Caption in one line, the file it came from, and what is wrong with it."""
    if item.caption is None:
        caption, file, problem = caption_beside(item.path, part.suffixes, part.reader)
    else:
        caption, file, problem = item.caption, None, None
        if not caption:
            problem = Problem("warning", "This caption is empty", "Write what the picture shows.", item.path)
    if not caption and part.source.class_words and (problem is None or problem.level == "warning"):
        return part.source.class_words, file, None
    if part.source.media == "video" and problem:
        problem = replace(problem, message=problem.message.replace("picture", "clip"))
    return caption, file, problem


def _told_of_files(described: Description, trainer: str) -> list[Problem]:
    """What dataset files say that is done in another way here."""
    found = []
    said = [described.options, *(s.options for s in described.sources)]
    path = next(iter(described.files), None)
    if any(o.get("validation_split") for o in said):
        message = "validation_split is not used while bracket holds pictures out itself"
        found.append(Problem("info", message, path=path))
    if trainer != "sd_scripts" and any(o.get("enable_wildcard") for o in said):
        message = "Captions of several lines are read as one line, so enable_wildcard no longer chooses among them"
        found.append(Problem("warning", message, "Use {a|b} within a line.", path))
    return found


def _named_elsewhere(parts: Sequence[_Part]) -> Iterator[Path]:
    """Controls and further targets, and what a problem speaks of already."""
    for part in parts:
        yield from (c for item in part.held.items for c in item.controls)
        yield from (p.path for p in part.held.problems if p.path)
        if part.source.options.get("multiple_target"):
            yield from files_of(listing(part.source.folder))


def _unused(described: Description, taken: set[Path], trained: set[Path]) -> list[Problem]:
    """What lies unread in the dataset's folders."""
    used = {f for s in described.sources for f in (s.folder, *s.controls)} | {described.root / VALIDATION}
    found = []
    for folder in dict.fromkeys(s.folder for s in described.sources if _is_folder(s)):
        found += unused_in(folder, taken, trained, used)
    if described.plain and described.root not in used:
        found += unused_in(described.root, taken, trained, used, within=False)
    return found


def _is_folder(source: Source) -> bool:
    return not {"image_jsonl_file", "video_jsonl_file", "metadata_file"} & source.options.keys()


def _remark_problems(headers: dict[File, Header], trainer: str) -> list[Problem]:
    ground = "trained on white" if trainer in ("", "builtin") else "trained without their transparency"
    counts = Counter(remark for h in headers.values() for remark in h.remarks)
    first = {remark: f.path for f, h in reversed(headers.items()) for remark in h.remarks}
    return [
        Problem("info", f"Pictures that are {r.replace(TRANSPARENT, f'{TRANSPARENT}; {ground}')}: {n}", path=first[r])
        for r, n in counts.items()
    ]
