"""What the files of pictures are, from their headers and bytes, remembered until a file's size or time changes."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from bracket.errors import DatasetError, printable

MOST_PIXELS = 89_478_485
"""Above this Pillow suspects a decompression bomb."""
MOST_BYTES = 1 << 30
TRANSPARENT = "transparent"
_BEGINNING = 1 << 16
SMALLEST_SIDE = 16
"""Pixels: one patch of the model."""
DECODING_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, struct.error,
    zlib.error, NotImplementedError, MemoryError, RecursionError, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for a file that is not what it says (UnidentifiedImageError is an OSError)."""
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "AVIF", "TIFF", "TGA", "GIF", "JPEG2000", "PPM")
"""What is opened, whatever a file is called: others start programs (EPS: Ghostscript) or are no pictures."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Header:
    """Size after EXIF rotation, remarks worth counting, and why the file can't be used ("" when it can)."""

    width: int = 0
    height: int = 0
    remarks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class File:
    path: Path
    stamp: tuple[int, int]
    """Time of change in nanoseconds and size in bytes."""


def headers_of(files: Sequence[File], deep: bool, progress: Progress | None) -> dict[File, Header]:
    """The header of every file.

    Args:
        deep: decode every picture whole, which also finds those cut off after their header.
        progress: called with (pictures done, pictures in all).
    """

    def read(file: File) -> Header:
        header = _read_header(file.path, file.stamp)
        if deep and not header.error and (error := _decode_error(file.path, file.stamp)):
            return Header(error=error)
        return header

    headers = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # a bomb is judged by MOST_PIXELS instead, odd metadata by nobody
        for done, (file, header) in enumerate(zip(files, pool.map(read, files), strict=True), 1):
            headers[file] = header
            if progress:
                progress(done, len(files))
    return headers


@lru_cache(maxsize=100_000)
def _read_header(path: Path, stamp: tuple[int, int]) -> Header:
    if not stamp[1]:
        return Header(error="the file is empty")
    if printable(str(path)) != str(path):
        return Header(error="its name is not Unicode; rename it")
    if stamp[1] > MOST_BYTES:
        return Header(error=f"it is larger than {MOST_BYTES >> 30} GiB")
    try:
        with open_picture(path) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                return Header(error=f"it has more than {MOST_PIXELS // 1_000_000} million pixels ({width}×{height})")
            orientation = _orientation(image)
            remarks = _remarks(image, orientation)
    except Image.DecompressionBombError:
        return Header(error=f"it has more than {MOST_PIXELS // 1_000_000} million pixels")
    except DECODING_ERRORS as error:
        return Header(error=_reason(error))
    if min(width, height) < SMALLEST_SIDE:
        return Header(error=f"it is only {width}×{height} pixels; {SMALLEST_SIDE} a side is the least")
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Header(width, height, remarks)


def open_picture(file: Path | BytesIO) -> ImageFile.ImageFile:
    """Opens a picture of a kind that datasets hold. Raises one of DECODING_ERRORS."""
    if isinstance(file, Path) and file.exists() and not file.is_file():
        raise OSError("it is no file")
    return Image.open(file, formats=_known())


@cache
def _known() -> tuple[str, ...]:
    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)


def as_png(picture: Path, place: Path) -> None:
    """Writes a picture as a PNG, upright, transparency kept. Raises DatasetError where it doesn't decode."""
    try:
        with open_picture(picture) as image:
            upright = ImageOps.exif_transpose(image)
            alpha = "A" in upright.getbands() or "transparency" in upright.info
            upright.convert("RGBA" if alpha else "RGB").save(place, "PNG", compress_level=1)
    except DECODING_ERRORS as error:
        reason = _reason(error)
        raise DatasetError(f"This picture can't be used: {reason}", path=picture, remedy="Replace it.") from error


def _orientation(image: ImageFile.ImageFile) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking Pillow would decode the whole picture, in search of a chunk behind the pixels
    return int(image.getexif().get(0x0112, 1))


def _remarks(image: ImageFile.ImageFile, orientation: int) -> tuple[str, ...]:
    found = []
    if "A" in image.getbands() or "transparency" in image.info:
        found.append(TRANSPARENT)
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
        with open_picture(path) as image:
            image.load()
    except DECODING_ERRORS as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError | Image.DecompressionBombError):
        return "it unpacks to more than a picture needs"
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"it does not decode ({error})"


def duplicates_of(files: Iterable[File]) -> tuple[tuple[Path, ...], ...]:
    """Groups of equal files; only those of equal size are read."""
    sizes = Counter(f.stamp[1] for f in files)
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        if sizes[file.stamp[1]] > 1 and (digest := _digest(file.path, file.stamp)):
            groups[digest].append(file.path)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def contents_of(files: Iterable[Path]) -> list[str]:
    """What tells files apart whatever they are called: of each, a hash of its size and its beginning, sorted."""
    found = []
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            continue  # gone since it was listed
        found.append(_beginning(path, (stat.st_mtime_ns, stat.st_size)))
    return sorted(found)


@lru_cache(maxsize=100_000)
def _beginning(path: Path, stamp: tuple[int, int]) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(b"%d " % stamp[1] + file.read(_BEGINNING)).hexdigest()
    except OSError:
        return ""


@lru_cache(maxsize=100_000)
def _digest(path: Path, stamp: tuple[int, int]) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # gone since it was listed
