"""Reading pictures for judging: any common file to RGB, what had to be done to it, its content's hash, small views."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bracket.dataset.reading.headers import open_picture
from bracket.errors import JudgeError

MAX_PIXELS = 120_000_000
"""A picture larger than this is refused before it is decoded: it would take half a gigabyte."""
LARGEST = 4096 * 4096
"""Pixels above which a picture is scaled down: no judge's model looks as closely, and a batch must fit in memory."""
ASPECT = 8
"""Times as long as wide; beyond it a picture is padded, for models scale the short side and would run out of memory."""
TINY = 16
"""Pixels of a side below which there is little to judge."""
MOVING = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Formats whose frames are an animation; the pages of a TIFF or the views of an MPO are not."""
THUMBNAIL = 32
TILES = 8

_SMALLER = f"Scale it down to at most {MAX_PIXELS // 1_000_000} million pixels."
_UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, RuntimeError, MemoryError, struct.error,
)  # fmt: skip
_SAID: Mapping[str, str] = {
    "animated": "animated: its first frame was judged",
    "cmyk": "in CMYK: converted to RGB",
    "deep": "of more than 8 bits a channel: reduced to 8",
    "transparent": "with an alpha channel: laid over white",
    "scaled": f"of more than {LARGEST // 1_000_000} million pixels: scaled down",
    "padded": f"more than {ASPECT} times as long as wide, or as wide as long: padded with white",
    "misnamed": "named as another kind of file than it is: read as what it is",
    "tiny": f"under {TINY} pixels on a side: there is little to judge",
}


def open_image(path: Path, notes: Counter[str] | None = None) -> Image.Image:
    """The picture as people see it, in RGB: turned by its EXIF, over white where transparent, first frame if it moves.

    Args:
        notes: takes one for everything that had to be done, see `inspect`.

    Raises:
        JudgeError: the file is missing, is no picture, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    with opened(path) as image:
        found = _findings(image, path)
        image.seek(0)
        whole = to_rgb(ImageOps.exif_transpose(image))
        if "scaled" in found:
            shrink = (LARGEST / (whole.width * whole.height)) ** 0.5
            whole.thumbnail((max(1, int(whole.width * shrink)), max(1, int(whole.height * shrink))))
        if "padded" in found:
            size = (max(whole.width, whole.height // ASPECT), max(whole.height, whole.width // ASPECT))
            whole = ImageOps.pad(whole, size, color="white")
    if notes is not None:
        notes.update(found)
    return whole


def inspect(path: Path) -> tuple[str, ...]:
    """What `open_image` does to the picture, told from its header: keys that `told` makes sentences of.

    Raises:
        JudgeError: as `open_image`, as far as the header shows it.
    """
    with opened(path) as image:
        return _findings(image, path)


def told(notes: Mapping[str, int]) -> list[str]:
    """The counts as sentences for a judge's remarks."""
    return [f"{notes[key]} of the pictures: {text}." for key, text in _SAID.items() if notes.get(key)]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture file, its header read and its size checked; whatever goes wrong inside is told of the path.

    Raises:
        JudgeError: as `open_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(path) as image:
                check_size(path, image.width, image.height)
                yield image
    except FileNotFoundError as error:
        raise JudgeError("there is no picture here", path=path, remedy="Check the path.") from error
    except Image.DecompressionBombError as error:
        raise JudgeError("the picture has far too many pixels", path=path, remedy=_SMALLER) from error
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).split("'")[0].strip() or type(error).__name__
        if isinstance(error, UnidentifiedImageError) and not path.stat().st_size:
            reason = "the file is empty"
        raise JudgeError(
            f"the picture can't be read: {reason}", path=path, remedy="Replace it with a whole image file."
        ) from error


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what would take too much memory.

    Raises:
        JudgeError: there are more than `MAX_PIXELS` pixels.
    """
    if width * height > MAX_PIXELS:
        raise JudgeError(
            f"the picture has {width}×{height} pixels, which is too many",
            path=path,
            remedy=_SMALLER,
        )


def _findings(image: Image.Image, path: Path) -> tuple[str, ...]:
    short, long = sorted(image.size)
    # Deep RGB is read as 8 bits a channel; only how it is packed in the file tells.
    packed = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    named = Image.registered_extensions().get(path.suffix.lower())
    known = {"MPO": "JPEG", "DIB": "BMP"}.get(image.format or "", image.format)
    found = {
        "animated": image.format in MOVING and getattr(image, "n_frames", 1) > 1,
        "cmyk": image.mode == "CMYK",
        "deep": packed or image.mode in ("I", "F") or image.mode.startswith("I;16"),
        "transparent": image.has_transparency_data,
        "scaled": short * long > LARGEST,
        "padded": long > ASPECT * short,
        "misnamed": named is not None and named not in (image.format, known),
        "tiny": short < TINY,
    }
    return tuple(key for key, so in found.items() if so)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB, over white where it is transparent; CMYK by its colour profile when it has one."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        image = _by_profile(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")


def _by_profile(image: Image.Image) -> Image.Image:
    """CMYK to sRGB by the picture's own profile; as it is when the profile is of no use."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        changed = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return changed or image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey to 8 bits: 16-bit integers span 0..65535; floats span 0..1, or 0..255 when any is above 1."""
    values = np.asarray(image, np.float64)
    unit = image.mode == "F" and values.max(initial=0) <= 1
    scale = 255.0 if unit else 1.0 if image.mode == "F" else 1 / 257
    return Image.fromarray(np.clip(np.nan_to_num(values * scale), 0, 255).round().astype(np.uint8))


def content_key(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex.

    Raises:
        JudgeError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise JudgeError(
            f"the picture can't be read: {error.strerror or error}", path=path, remedy="Check the path."
        ) from error


def thumbnail(image: Image.Image) -> NDArray[np.float32]:
    """A tiny view for telling copies: (32 · 32 · 3,), each channel with mean 0, the whole with length 1.

    The dot product of two is the correlation of their pixels, which brightness and contrast don't change. A picture
    without any contrast gives zeros, which correlate with nothing.
    """
    small = np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32)
    centred = small - small.mean((0, 1))
    length = float(np.linalg.norm(centred))
    # Under one grey level a pixel there is only rounding to correlate.
    result: NDArray[np.float32] = (centred / length if length > THUMBNAIL else np.zeros_like(centred)).ravel()
    return result


def shuffled(image: Image.Image) -> Image.Image:
    """The picture in 8×8 tiles that change places by a fixed order: its colours and textures with no subject."""
    width, height = (max(1, side // TILES) * TILES for side in image.size)
    pixels = np.asarray(image.resize((width, height)) if (width, height) != image.size else image)
    h, w = height // TILES, width // TILES
    tiles = pixels.reshape(TILES, h, TILES, w, 3).swapaxes(1, 2).reshape(TILES * TILES, h, w, 3)
    # No tile stays in its place, and no two stay neighbours.
    order = (np.arange(TILES * TILES) * 27 + 13) % (TILES * TILES)
    mixed = tiles[order].reshape(TILES, TILES, h, w, 3).swapaxes(1, 2)
    return Image.fromarray(np.ascontiguousarray(mixed.reshape(height, width, 3)))
