"""Grids of pictures, config × prompt, drawn by Pillow. The report and the app both use them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

TINY = 128
"""Up to this side, pictures are enlarged by whole pixels: blur would hide what the model drew."""
_PAPER, _INK, _QUIET, _EMPTY = "#ffffff", "#1c1e21", "#5f656d", "#eceef0"
_GAP, _LABEL = 8, 150


def picture_grid(rows: Sequence[tuple[str, Sequence[Path | None]]], columns: Sequence[str], thumb: int) -> Image:
    """One image of a grid with its labels.

    Args:
        rows: a label (line breaks allowed) and one picture a column; None or an unreadable file leaves the place empty.
        columns: the headings, usually prompts; cut after three lines.
        thumb: side of a picture's place in pixels. Pictures keep their proportions.

    Raises:
        ValueError: a row with another number of pictures than there are columns.
    """
    from PIL import Image, ImageDraw

    if odd := next((label for label, pictures in rows if len(pictures) != len(columns)), None):
        raise ValueError(f"row {odd!r} must have one picture for each of {len(columns)} columns")
    size = max(11, thumb // 11)
    font = _font(size)
    head = 3 * round(size * 1.3) + _GAP
    width = _LABEL + len(columns) * (thumb + _GAP) + _GAP
    canvas = Image.new("RGB", (width, head + _GAP + len(rows) * (thumb + _GAP)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(columns):
        x = _LABEL + column * (thumb + _GAP)
        _write(draw, (x, _GAP), heading, font, thumb, lines=3, fill=_QUIET)
    for index, (label, pictures) in enumerate(rows):
        y = head + _GAP + index * (thumb + _GAP)
        _write(draw, (_GAP, y), label, font, _LABEL - 2 * _GAP, lines=max(1, round(thumb / (size * 1.3))), fill=_INK)
        for column, path in enumerate(pictures):
            x = _LABEL + column * (thumb + _GAP)
            _place(canvas, draw, path, (x, y), thumb)
    return canvas


def open_picture(path: Path | None) -> Image | None:
    """A picture as RGB, on white where it is transparent; None when there is none or it can't be read."""
    from PIL import Image, ImageOps

    if path is None or not path.is_file():
        return None
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return paper.convert("RGB")


def thumbnail(path: Path | None, side: int) -> tuple[bytes, str, int, int] | None:
    """A picture at most `side` pixels wide and high, for embedding: its bytes, MIME type, width and height.

    Small ones stay whole as PNG; larger ones become JPEG.
    """
    image = open_picture(path)
    if image is None:
        return None
    image.thumbnail((side, side))
    tiny = max(image.size) <= TINY
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=84, optimize=True, progressive=True)
    return buffer.getvalue(), "image/png" if tiny else "image/jpeg", image.width, image.height


def _place(canvas: Image, draw: ImageDraw, path: Path | None, corner: tuple[int, int], thumb: int) -> None:
    from PIL import Image

    x, y = corner
    image = open_picture(path)
    if image is None:
        draw.rectangle((x, y, x + thumb - 1, y + thumb - 1), fill=_EMPTY)
        return
    scale = thumb / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    tiny = max(image.size) <= TINY and scale > 1
    resized = image.resize(size, Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS)
    canvas.paste(resized, (x + (thumb - size[0]) // 2, y + (thumb - size[1]) // 2))


def _write(
    draw: ImageDraw,
    corner: tuple[int, int],
    text: str,
    font: FreeTypeFont | BitmapFont,
    width: int,
    *,
    lines: int,
    fill: str,
) -> None:
    room = max(4, int(width / max(1.0, draw.textlength("n", font=font))))
    wrapped = [part for line in text.splitlines() for part in textwrap.wrap(line, room) or [""]]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1][: room - 1] + "…"]
    draw.multiline_text(corner, "\n".join(wrapped), font=font, fill=fill, spacing=2)


def _font(size: int) -> FreeTypeFont | BitmapFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
