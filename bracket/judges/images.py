"""Reading pictures for judging: any common file to RGB, its content's hash, and small views of it."""

from __future__ import annotations

import hashlib
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bracket.errors import JudgeError

MAX_PIXELS = 120_000_000
"""A picture larger than this is refused before it is decoded: it would take half a gigabyte."""
THUMBNAIL = 32
TILES = 8

_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def open_image(path: Path) -> Image.Image:
    """The picture as people see it, in RGB: turned by its EXIF, over white where transparent, first frame if it moves.

    Raises:
        JudgeError: the file is missing, is no picture, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise JudgeError(
                        f"the picture has {image.width}×{image.height} pixels, which is too many",
                        path=path,
                        remedy=f"Scale it down to at most {MAX_PIXELS // 1_000_000} million.",
                    )
                image.seek(0)
                return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise JudgeError("there is no picture here", path=path, remedy="Check the path.") from error
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).split("'")[0].strip() or type(error).__name__
        raise JudgeError(
            f"the picture can't be read: {reason}", path=path, remedy="Replace it with a whole image file."
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")


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
