"""Pictures and text as the parts of a chat message."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import Any

from PIL import Image

from bracket.judges.images import open_image

MAX_SENT = 1536 * 1024
"""Pixels of a picture as it is sent; larger ones are scaled down."""
MAX_PNG = 512 * 512
"""Pixels of a picture that is sent without loss; a larger one goes as a JPEG of high quality: a fifth of the bytes, and
a tenth of the time."""


def picture_part(path: Path) -> dict[str, Any]:
    """A picture, redrawn by `images.open_image` and scaled down to at most `MAX_SENT` pixels.

    Raises:
        JudgeError: it can't be read.
    """
    try:
        stat = path.stat()
        version = (stat.st_mtime_ns, stat.st_size)
    except OSError:
        version = (0, 0)  # reading it says what is wrong
    return _part(_encoded(path, version))


def plain_part(colour: tuple[int, int, int]) -> dict[str, Any]:
    """A small picture in one colour."""
    return _part(_url(Image.new("RGB", (64, 64), colour), "PNG"))


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@functools.lru_cache(maxsize=64)
def _encoded(path: Path, version: tuple[int, int]) -> str:
    """Kept for a while: the same picture stands in several questions, one after the other."""
    image = open_image(path)
    factor = (MAX_SENT / (image.width * image.height)) ** 0.5
    if factor < 1:
        sides = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
        image = image.resize(sides, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if image.width * image.height <= MAX_PNG:
        return _url(image, "PNG")
    return _url(image, "JPEG", quality=95, subsampling=0)


def _url(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
