"""What lies in a dataset's folder and isn't used, in one line a kind with its count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from bracket.dataset.reading.media import CAPTION_SUFFIXES, SUFFIXES, VIDEO_SUFFIXES, files_of, listing, looks_masked
from bracket.dataset.reading.prompts import PROMPTS, VERDICT_PROMPTS
from bracket.domain import Problem
from bracket.errors import DatasetError
from bracket.weights.download import PARTIAL

_PICTURES = frozenset({
    ".gif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".psb", ".svg", ".xcf", ".kra", ".clip", ".ai", ".eps",
    ".pdf", ".exr", ".hdr", ".ico", ".dds", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef",
    ".srw", ".raw",
})  # fmt: skip
"""Pictures a person may expect to be used, and that are not read."""
_ASIDE = frozenset({".npz", ".npy", ".pt", ".safetensors", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".db", ".ini"})
"""Caches and notes of trainers and systems: nobody expects them to be trained on."""
_LONG = {s for suffix in SUFFIXES | VIDEO_SUFFIXES for s in (suffix, suffix.upper())}
_TEXTS = ("readme", "license", "licence")


def unused_in(
    folder: Path,
    taken: Collection[Path],
    trained: Collection[Path],
    folders: Collection[Path],
    within: bool = True,
) -> list[Problem]:
    """What is not used of a folder.

    Args:
        taken: everything that is, or that is told of already.
        trained: the pictures among these, without their suffixes.
        folders: its subfolders that are.
        within: also say which pictures lie in its other subfolders.
    """
    kinds: dict[str, list[Path]] = {}
    inside = []
    for path in (Path(e.path) for e in listing(folder, hidden=True)):
        if path in taken or path in folders:
            continue
        if path.stem.lower() in _TEXTS:
            continue
        kind = _kind(path, taken, trained)
        if kind == "folder":
            inside.append(path)
        elif kind:
            kinds.setdefault(kind, []).append(path)
    pictures = any(p.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES for p in taken if p.parent == folder)
    return [*_told(kinds), *_subfolders(inside if within else (), pictures)]


def _kind(path: Path, taken: Collection[Path], trained: Collection[Path]) -> str:
    """ "folder", or a kind of those that `_told` says; "" where the picture it belongs to is told of."""
    suffix = path.suffix.lower()
    if path.name.startswith(".") or path.name.lower() == "thumbs.db" or suffix in _ASIDE:
        return "aside"
    if path.is_dir():
        return "folder"
    if not path.exists():
        return "nowhere"
    if not path.is_file():
        return "no file"
    if suffix in CAPTION_SUFFIXES:
        if path.name in (PROMPTS, VERDICT_PROMPTS):
            return "prompts"
        told = any(path.with_suffix(s) in taken for s in _LONG)
        return "second caption" if path.with_suffix("") in trained else "" if told else "caption"
    if suffix in SUFFIXES:
        return "mask" if looks_masked(path) else "still"
    if suffix in PARTIAL:
        return "partial"
    return "picture" if suffix in _PICTURES | VIDEO_SUFFIXES else "other"


_WORDS = {
    "nowhere": ("Links that lead nowhere", "Mend them, or take them out."),
    "no file": ("Names that are no files (pipes, devices)", "Take them out."),
    "partial": ("Unfinished downloads", "Finish or remove them."),
    "prompts": ("Prompt files that are not read", "Put them beside the dataset file, or into the first folder."),
    "caption": ("Captions without a picture", "Call each like its picture, upper and lower case alike."),
    "second caption": ("Further captions that are not read", "Keep one caption for each picture."),
    "still": ("Pictures that are not trained on", "Move them into a folder of their own."),
    "mask": ("Masks, which are not trained on", "Move them into a folder of their own."),
}


def _told(kinds: dict[str, list[Path]]) -> Iterable[Problem]:
    for kind, (words, remedy) in _WORDS.items():
        if paths := kinds.get(kind):
            words += f" ({paths[0].suffix} beside another)" if kind == "second caption" else ""
            yield Problem("warning", f"{words}: {len(paths)}", remedy, paths[0])
    if pictures := kinds.get("picture"):
        message = f"Files of kinds that are not read: {_counted(pictures)}"
        yield Problem("warning", message, "Convert them to PNG.", pictures[0])
    if others := kinds.get("other"):
        yield Problem("info", f"Files that are no pictures or captions: {_counted(others)}", path=others[0])
    if aside := kinds.get("aside"):
        yield Problem("info", f"Left aside, hidden files and other programs' own: {_counted(aside)}", path=aside[0])


def _counted(paths: Iterable[Path]) -> str:
    """ "2 .heic, 1 .psd"."""
    counts = Counter("hidden" if p.name.startswith(".") else p.suffix.lower() or "without suffix" for p in paths)
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))


def _subfolders(folders: Iterable[Path], pictures: bool) -> Iterable[Problem]:
    for folder in folders:
        if count := _count_inside(folder):
            words = "pictures in this subfolder are not used" if pictures else "pictures lie in here"
            yield Problem("warning", f"{count} {words}", "Move them up, or choose that folder.", folder)


def _count_inside(folder: Path) -> int:
    try:
        return len(files_of(listing(folder)))
    except DatasetError:
        return 0
