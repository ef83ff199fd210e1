"""Grids of pictures, config × prompt, drawn by Pillow. The report and the app both use them."""

from __future__ import annotations

import functools
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont as Font

TINY = 128
"""Up to this side, pictures are enlarged by whole pixels: blur would hide what the model drew."""
PAPER, INK, QUIET, EMPTY = "#ffffff", "#1c1e21", "#5f656d", "#eceef0"
GAP = 8
_LABEL = 150
_EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans GB",
    "WenQuanYi Micro Hei",
    "SimHei",
)


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
    head = 3 * line_height(size) + GAP
    width = _LABEL + len(columns) * (thumb + GAP) + GAP
    canvas = Image.new("RGB", (width, head + GAP + len(rows) * (thumb + GAP)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(columns):
        x = _LABEL + column * (thumb + GAP)
        write(draw, (x, GAP), heading, size, thumb, lines=3, fill=QUIET)
    for index, (label, pictures) in enumerate(rows):
        y = head + GAP + index * (thumb + GAP)
        write(draw, (GAP, y), label, size, _LABEL - 2 * GAP, lines=max(1, thumb // line_height(size)))
        for column, path in enumerate(pictures):
            x = _LABEL + column * (thumb + GAP)
            if not place(canvas, path, (x, y), (thumb, thumb)):
                draw.rectangle((x, y, x + thumb - 1, y + thumb - 1), fill=EMPTY)
    return canvas


def open_picture(path: Path | None) -> Image | None:
    """A picture as RGB, on white where it is transparent; None when there is none or it can't be read."""
    from PIL import Image, ImageOps

    from bracket.dataset.reading.headers import DECODING_ERRORS
    from bracket.dataset.reading.headers import open_picture as open_known

    if path is None or not path.is_file():
        return None
    try:
        with open_known(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except DECODING_ERRORS:
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


def place(canvas: Image, path: Path | None, corner: tuple[int, int], room: tuple[int, int]) -> bool:
    """Puts a picture into the middle of a place, as large as fits; says whether it could be read."""
    from PIL import Image

    image = open_picture(path)
    if image is None:
        return False
    scale = min(room[0] / image.width, room[1] / image.height)
    tiny = max(image.size) <= TINY and scale > 1
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.resize(size, Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS)
    canvas.paste(resized, (corner[0] + (room[0] - size[0]) // 2, corner[1] + (room[1] - size[1]) // 2))
    return True


def wrapped(text: str, font: Font, width: float, lines: int = 1000) -> list[str]:
    """Text in lines of at most so many pixels; what is left after the last line becomes an ellipsis.

    Lines break at spaces, and inside words that are wider than a line or written without spaces.
    """
    made: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in re.findall(r"\s*\S+", paragraph):
            if not line or font.getlength(line + word) <= width:
                line += word if line else word.lstrip()
            else:
                made.append(line)
                line = word.lstrip()
            while font.getlength(line) > width and len(line) > 1:
                cut = _fitting(line, font, width)
                made.append(line[:cut])
                line = line[cut:]
        made.append(line)
    if len(made) <= lines:
        return made
    last = made[lines - 1]
    while last and font.getlength(last + "…") > width:
        last = last[:-1]
    return [*made[: lines - 1], last.rstrip() + "…"]


def line_height(size: int) -> int:
    """Pixels from line to line of a text of this size."""
    return round(size * 1.3)


def write(
    draw: ImageDraw,
    corner: tuple[int, int],
    text: str,
    size: int,
    width: float,
    *,
    lines: int = 1000,
    fill: str = INK,
    bold: bool = False,
) -> None:
    """Writes text into a column of so many pixels, cut after so many lines."""
    font = font_for(text, size, bold=bold)
    x, y = corner
    for i, line in enumerate(wrapped(text, font, width, lines)):
        draw.text((x, y + i * line_height(size)), line, font=font, fill=fill)


def font_for(text: str, size: int, *, bold: bool = False) -> Font:
    """A font that has the letters of a text: DejaVu Sans, which comes with matplotlib, or for East Asian scripts the
    first of the usual ones that this system has."""
    import matplotlib
    from PIL import ImageFont

    if any(unicodedata.east_asian_width(letter) in "WF" for letter in text):
        path = _east_asian()
        if path:
            return ImageFont.truetype(path, size)
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


@functools.cache
def _east_asian() -> str:
    """The file of a font with Chinese, Japanese and Korean letters; "" where there is none."""
    from matplotlib import font_manager

    found = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    return next((found[name] for name in _EAST_ASIAN if name in found), "")


def _fitting(text: str, font: Font, width: float) -> int:
    """How many letters fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low
