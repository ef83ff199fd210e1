"""Finding pictures and their captions in a folder, quickly and without ever stopping at a bad file.

Only headers are read, unless a deep scan is asked for, and what was read of a file is remembered until its size or
time changes: a second scan costs a directory listing.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from bracket.dataset.prompts import one_line, read_text
from bracket.domain import Picture, Problem
from bracket.errors import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".tif", ".tiff"})
OTHER_SUFFIXES = frozenset({".gif", ".heic", ".heif", ".jxl", ".jp2", ".psd", ".mp4", ".mov", ".webm", ".mkv", ".avi"})
"""Pictures and clips a person may expect to be used, and that are not."""
CAPTION_SUFFIXES = (".txt", ".caption")
VALIDATION = "validation"
"""A subfolder of this name holds the pictures for the validation loss."""

MOST_PIXELS = 89_478_485
"""Above this Pillow suspects a decompression bomb."""
MOST_BYTES = 1 << 30
SMALLEST_SIDE = 16
"""Pixels: one patch of the model."""
DECODING_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that is not what it says (UnidentifiedImageError is an OSError)."""
_Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scan:
    """What a folder holds: readable pictures (sorted by name), those of its `validation` folder, and what is wrong.

    `duplicates` are groups of pictures whose files are the same to the byte.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...]
    validation: tuple[Picture, ...] = ()
    duplicates: tuple[tuple[Path, ...], ...] = ()

    @property
    def captioned(self) -> int:
        """How many of `pictures` have a caption."""
        return sum(bool(p.caption) for p in self.pictures)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.level == "error")


@dataclass(frozen=True)
class _Header:
    """Size after EXIF rotation, remarks worth counting, and why the file can't be used ("" when it can)."""

    width: int = 0
    height: int = 0
    remarks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class _File:
    path: Path
    stamp: tuple[int, int]
    """Time of change in nanoseconds and size in bytes."""


def scan(folder: Path | str, *, deep: bool = False, progress: _Progress | None = None) -> Scan:
    """Reads a folder of pictures, each with its caption in `<stem>.txt` (or `.caption`) beside it.

    Args:
        deep: decode every picture whole, which also finds those cut off after their header.
        progress: called with (pictures done, pictures in all).

    Raises:
        DatasetError: the folder is missing or can't be listed. Anything wrong with a file is a problem of the scan.
    """
    folder = Path(folder).expanduser().absolute()
    entries = _listing(folder)
    files = _pictures(entries)
    held = _pictures(_listing(folder / VALIDATION)) if (folder / VALIDATION).is_dir() else []
    headers = _headers([*files, *held], deep, progress)
    problems: list[Problem] = []
    pictures = _usable(files, headers, problems)
    validation = _usable(held, headers, problems)
    if not pictures:
        kinds = ", ".join(sorted(s[1:] for s in SUFFIXES))
        problems.insert(0, Problem("error", "There is no usable picture here", f"These are read: {kinds}.", folder))
    duplicates = _duplicates([f for f in (*files, *held) if not headers[f].error])
    problems += _folder_problems(folder, entries, files)
    problems += _remark_problems(headers)
    for group in duplicates:
        also = ", ".join(os.path.relpath(p, folder) for p in group[1:])
        remedy = "Remove one; a duplicate counts twice and is never held out."
        problems.append(Problem("warning", f"This picture is the same file as {also}", remedy, group[0]))
    return Scan(folder, pictures, tuple(problems), validation, duplicates)


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except FileNotFoundError as error:
        remedy = "Check the path, or choose another folder."
        raise DatasetError("The dataset folder does not exist", path=folder, remedy=remedy) from error
    except NotADirectoryError as error:
        remedy = "Choose the folder that holds the pictures."
        raise DatasetError("This is a file, not a folder", path=folder, remedy=remedy) from error
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Check its permissions."
        raise DatasetError(f"The dataset folder can't be read: {reason}", path=folder, remedy=remedy) from error


def _pictures(entries: Iterable[os.DirEntry[str]]) -> list[_File]:
    found = []
    for entry in entries:
        if Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
            stat = entry.stat()
            found.append(_File(Path(entry.path), (stat.st_mtime_ns, stat.st_size)))
    return found


def _headers(files: Sequence[_File], deep: bool, progress: _Progress | None) -> dict[_File, _Header]:
    def read(file: _File) -> _Header:
        header = _read_header(file.path, file.stamp)
        if deep and not header.error and (error := _decode_error(file.path, file.stamp)):
            return _Header(error=error)
        return header

    headers = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # judged by MOST_PIXELS instead
        for done, (file, header) in enumerate(zip(files, pool.map(read, files), strict=True), 1):
            headers[file] = header
            if progress:
                progress(done, len(files))
    return headers


@lru_cache(maxsize=100_000)
def _read_header(path: Path, stamp: tuple[int, int]) -> _Header:
    if stamp[1] > MOST_BYTES:
        return _Header(error=f"it is larger than {MOST_BYTES >> 30} GiB")
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                return _Header(error=f"it has more than {MOST_PIXELS // 1_000_000} million pixels ({width}×{height})")
            orientation = _orientation(image)
            remarks = _remarks(image, orientation)
    except Image.DecompressionBombError:
        return _Header(error=f"it has more than {MOST_PIXELS // 1_000_000} million pixels")
    except DECODING_ERRORS as error:
        return _Header(error=_reason(error))
    if min(width, height) < SMALLEST_SIDE:
        return _Header(error=f"it is only {width}×{height} pixels; {SMALLEST_SIDE} a side is the least")
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return _Header(width, height, remarks)


def _orientation(image: ImageFile.ImageFile) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking Pillow would decode the whole picture, in search of a chunk behind the pixels
    return int(image.getexif().get(0x0112, 1))


def _remarks(image: ImageFile.ImageFile, orientation: int) -> tuple[str, ...]:
    found = []
    if "A" in image.getbands() or "transparency" in image.info:
        found.append("transparent; trained on white")
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        found.append(f"{image.mode}; converted to RGB")
    if image.mode.startswith(("I", "F")):
        found.append("of 16 or more bits; reduced to 8")
    if orientation != 1:
        found.append("turned as their EXIF data say")
    if getattr(image, "is_animated", False):
        found.append("animated; only their first frame is used")
    return tuple(found)


@lru_cache(maxsize=100_000)
def _decode_error(path: Path, stamp: tuple[int, int]) -> str:
    try:
        with Image.open(path) as image:
            image.load()
    except DECODING_ERRORS as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"it does not decode ({error})"


def _usable(files: Sequence[_File], headers: dict[_File, _Header], problems: list[Problem]) -> tuple[Picture, ...]:
    pictures = []
    captions: dict[Path, Path] = {}
    for file in files:
        header = headers[file]
        if header.error:
            remedy = "Replace it or take it out."
            problems.append(Problem("error", f"This picture can't be used: {header.error}", remedy, file.path))
            continue
        caption, source, problem = _caption(file.path)
        if problem:
            problems.append(problem)
        if source and source in captions:
            message = f"This picture shares its caption {source.name} with {captions[source].name}"
            problems.append(Problem("warning", message, "Rename one of them.", file.path))
        elif source:
            captions[source] = file.path
        pictures.append(Picture(file.path, caption, header.width, header.height))
    return tuple(pictures)


def _caption(picture: Path) -> tuple[str, Path | None, Problem | None]:
    """Caption in one line, the file it came from, and what is wrong with it."""
    for suffix in CAPTION_SUFFIXES:
        path = picture.with_suffix(suffix)
        if not path.is_file():
            continue
        try:
            caption = one_line(read_text(path))
        except DatasetError as error:
            return "", path, Problem("error", error.message, error.remedy, path)
        empty = Problem("warning", "This caption is empty", "Write what the picture shows.", path)
        return caption, path, None if caption else empty
    remedy = f"Write what it shows into {picture.stem}.txt beside it."
    return "", None, Problem("warning", "This picture has no caption", remedy, picture)


def _duplicates(files: Iterable[_File]) -> tuple[tuple[Path, ...], ...]:
    """Groups of equal files; only those of equal size are read."""
    sizes = Counter(f.stamp[1] for f in files)
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if sizes[file.stamp[1]] > 1 and (digest := _digest(file.path, file.stamp)):
            groups[digest].append(file.path)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


@lru_cache(maxsize=100_000)
def _digest(path: Path, stamp: tuple[int, int]) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # gone since it was listed


def _folder_problems(folder: Path, entries: Sequence[os.DirEntry[str]], files: Sequence[_File]) -> list[Problem]:
    found = []
    others = Counter(s for e in entries if (s := Path(e.name).suffix.lower()) in OTHER_SUFFIXES)
    if others:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(others.items()))
        found.append(Problem("warning", f"Files of kinds that are not read: {kinds}", "Convert them to PNG.", folder))
    for entry in entries:
        if entry.name != VALIDATION and entry.is_dir() and (inside := _count_inside(Path(entry.path))):
            remedy = "Move them up, or choose that folder."
            message = f"{inside} pictures in this subfolder are not used" if files else f"{inside} pictures lie in here"
            found.append(Problem("warning", message, remedy, Path(entry.path)))
    return found


def _count_inside(folder: Path) -> int:
    try:
        return len(_pictures(_listing(folder)))
    except DatasetError:
        return 0


def _remark_problems(headers: dict[_File, _Header]) -> list[Problem]:
    counts = Counter(remark for h in headers.values() for remark in h.remarks)
    first = {remark: f.path for f, h in reversed(headers.items()) for remark in h.remarks}
    return [Problem("info", f"Pictures that are {r}: {n}", path=first[r]) for r, n in counts.items()]
