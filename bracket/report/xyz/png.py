"""A grid as one PNG with its labels, and with what made each picture in the file's own text chunks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bracket.domain import SCALES
from bracket.errors import SettingsError
from bracket.files import written_whole
from bracket.report.words import NOTHING, config_label, counted, score
from bracket.report.writing.grid import (
    EMPTY,
    GAP,
    PAPER,
    QUIET,
    TINY,
    font_for,
    line_height,
    open_picture,
    place,
    wrapped,
    write,
)
from bracket.report.xyz.build import Cell, Grid, Plane

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.PngImagePlugin import PngInfo

SIDE = 256
"""A picture's place in pixels: four times the embedded demo's 64, so that its whole pixels stay square."""
LARGEST = 8000
"""Pixels of a side that browsers, viewers and forums still take."""
SMALLEST = 24
KEY = "bracket"
"""The text chunk that holds the grid as JSON."""
_MARGIN, _SEAM = 24, 2
_VACANT = "#f6f7f8"
"""Where no trial matches: paler than where a picture is missing."""
_HEADING_LINES = 6
_LEAST_WIDTH = 480


@dataclass(frozen=True)
class Written:
    """A file that was made: its size in pixels, the pictures' side, and what a person should know of it."""

    path: Path
    width: int
    height: int
    side: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """Sizes in pixels. A cell is `wide` × `high` and holds rows of `across` pictures; `print` is the room below it for
    small print."""

    text: int
    wide: int
    high: int
    print: int
    across: int
    picture: tuple[int, int]
    labels: int
    head: int
    title: int
    footer: int
    width: int
    height: int
    planes: int
    """So many planes stand beside each other."""
    plane: tuple[int, int]


def write_png(
    grid: Grid, path: Path, *, title: str, metadata: Mapping[str, str | int | float], side: int = SIDE
) -> Written:
    """Writes a grid as a PNG, whole or not at all.

    Below the pictures stand `metadata` and the grid's notes. The chunk "bracket" holds, as JSON, the axes and for every
    cell the trial's id, config, training seed, steps and score, and its pictures' prompts, sample seeds and steps;
    "Description" says it in words.

    Args:
        side: the longer side of a picture's place in pixels; made smaller where the file would be wider or higher than
            8000 pixels. A cell with several pictures shares it.

    Raises:
        SettingsError: the grid doesn't fit into 8000 × 8000 pixels however small its pictures.
        StorageError: the file can't be written.
    """
    from PIL import Image, ImageDraw

    native = _native(grid)
    asked, foot = max(SMALLEST, side), _footer(grid, metadata)
    layout = _layout(grid, title, foot, side := asked, native)
    while max(layout.width, layout.height) > LARGEST:
        side = int(side * 0.93)
        if side < SMALLEST:
            remedy = "Choose fewer prompts, or nothing for Z."
            raise SettingsError(f"this grid is larger than {LARGEST} × {LARGEST} pixels", path=path, remedy=remedy)
        shrunk = f"Pictures are {side} instead of {asked} px, so that no side is longer than {LARGEST} px."
        layout = _layout(grid, title, foot := [*_footer(grid, metadata), shrunk], side, native)
    canvas = Image.new("RGB", (layout.width, layout.height), PAPER)
    draw = ImageDraw.Draw(canvas)
    inner = layout.width - 2 * _MARGIN
    write(draw, (_MARGIN, _MARGIN), title, layout.text + 5, inner, bold=True)
    unread = sum(
        _draw_plane(canvas, draw, grid, plane, layout, _corner(i, layout)) for i, plane in enumerate(grid.planes)
    )
    write(draw, (_MARGIN, layout.height - _MARGIN - layout.footer), "\n".join(foot), layout.text, inner, fill=QUIET)
    with written_whole(path) as part:
        canvas.save(part, "PNG", pnginfo=_chunks(grid, title, metadata))
    return Written(path, layout.width, layout.height, side, (*foot[1:], *_unread(unread)))


def described(grid: Grid, title: str, metadata: Mapping[str, str | int | float]) -> dict[str, object]:
    """What made each picture, as plain values that JSON can hold. No paths: the file is made to be passed on."""
    axes = {
        name: {"name": axis.name, "title": axis.title, "values": list(labels)}
        for name, axis, labels in (
            ("x", grid.x, grid.columns),
            ("y", grid.y, grid.rows),
            ("z", grid.z, [p.label for p in grid.planes]),
        )
    }
    cells = [_described(cell, place) for place, cell in _places(grid)]
    return {
        "version": 1,
        "title": title,
        **metadata,
        "shown": grid.stage,
        "scales": SCALES,
        "axes": axes,
        "cells": cells,
        "notes": list(grid.notes),
    }


def _described(cell: Cell, place: tuple[int, int, int]) -> dict[str, object]:
    trial = cell.trial
    return {
        **dict(zip("xyz", place, strict=True)),
        "trial": trial.id,
        "config": dict(trial.config),
        "training_seed": trial.seed,
        "steps": trial.steps,
        "score": cell.score if cell.score is not None and math.isfinite(cell.score) else None,
        "matched": cell.matched,
        "pictures": [s and {"prompt": s.prompt, "sample_seed": s.seed, "step": s.step} for s in cell.samples],
    }


def _places(grid: Grid) -> Iterator[tuple[tuple[int, int, int], Cell]]:
    for z, plane in enumerate(grid.planes):
        for y, row in enumerate(plane.cells):
            for x, cell in enumerate(row):
                if cell:
                    yield (x, y, z), cell


def _chunks(grid: Grid, title: str, metadata: Mapping[str, str | int | float]) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("Title", title)
    chunks.add_text("Software", "bracket")
    chunks.add_text("Description", "\n".join([title, *_footer(grid, metadata), "", *_lines(grid)]))
    # ASCII, so that it is the plain kind of chunk that every reader knows.
    chunks.add_text(KEY, json.dumps(described(grid, title, metadata), allow_nan=False))
    return chunks


def _lines(grid: Grid) -> list[str]:
    """A line for every trial that is shown."""
    trials = {cell.trial.id: cell for _, cell in _places(grid)}
    return [
        f"{name}: {config_label(c.trial.config, c.trial.config)}, training seed {c.trial.seed}, {c.trial.steps} steps, "
        f"score {score(c.score)}"
        for name, c in trials.items()
    ]


def _footer(grid: Grid, metadata: Mapping[str, str | int | float]) -> list[str]:
    told = [f"{name} {value}" for name, value in metadata.items() if value != ""]
    return [" · ".join([*told, grid.stage]), *grid.notes]


def _unread(pictures: int) -> list[str]:
    places = "its place is" if pictures == 1 else "their places are"
    return [f"{counted(pictures, 'picture')} could not be read; {places} empty."] if pictures else []


def _native(grid: Grid) -> tuple[int, int]:
    """Width and height of the first picture that can be read."""
    for _, cell in _places(grid):
        for sample in cell.samples:
            if sample and (image := open_picture(sample.path)):
                return image.size
    return SIDE, SIDE


def _picture(side: int, native: tuple[int, int]) -> tuple[int, int]:
    """The place of one picture, no wider and no higher than `side`, in the shape of the first of them (at most four to
    one); a whole multiple of tiny ones."""
    longer = max(native)
    if longer <= TINY and longer <= side:
        side = side // longer * longer
    wide, high = (max(side // 4, round(side * n / longer)) for n in native)
    return wide, high


def _layout(grid: Grid, title: str, footer: list[str], side: int, native: tuple[int, int]) -> _Layout:
    text = min(36, max(12, side // 14))
    line, font = line_height(text), font_for("", text)
    across = math.ceil(math.sqrt(grid.slots))
    picture = _picture((side - _SEAM * (across - 1)) // across, native)
    wide, high = (
        n * (p + _SEAM) - _SEAM for n, p in zip((across, math.ceil(grid.slots / across)), picture, strict=True)
    )
    small = line if any(cell.words for _, cell in _places(grid)) else 0
    widest = max(font.getlength(label) for label in (*grid.rows, _corner_words(grid)))
    labels = round(min(widest + 1, max(120, min(side, 260)))) + 2 * GAP if widest else 0
    rows = max(len(wrapped(c, font_for(c, text), wide, _HEADING_LINES)) for c in grid.columns)
    head = (line if grid.x.kind != "nothing" else 0) + rows * line + GAP
    name = round(line * 1.5) if any(p.label for p in grid.planes) else 0
    plane = (
        labels + len(grid.columns) * (wide + GAP) - GAP,
        name + head + len(grid.rows) * (high + small + GAP) - GAP,
    )
    planes = min(range(1, len(grid.planes) + 1), key=lambda n: max(_spread(len(grid.planes), n, plane)))
    inner, stack = _spread(len(grid.planes), planes, plane)
    inner = max(inner, _LEAST_WIDTH)
    top = len(wrapped(title, font_for(title, text + 5, bold=True), inner)) * line_height(text + 5) + 2 * GAP
    foot = sum(len(wrapped(f, font_for("\n".join(footer), text), inner)) for f in footer) * line
    return _Layout(
        text,
        wide,
        high,
        small,
        across,
        picture,
        labels,
        head + name,
        top,
        foot,
        inner + 2 * _MARGIN,
        2 * _MARGIN + top + stack + 2 * GAP + foot,
        planes,
        plane,
    )


def _spread(count: int, beside: int, plane: tuple[int, int]) -> tuple[int, int]:
    """Width and height of so many planes, so many of them beside each other."""
    below = math.ceil(count / beside)
    return beside * (plane[0] + _MARGIN) - _MARGIN, below * (plane[1] + _MARGIN) - _MARGIN


def _corner(number: int, layout: _Layout) -> tuple[int, int]:
    below, beside = divmod(number, layout.planes)
    return (
        _MARGIN + beside * (layout.plane[0] + _MARGIN),
        _MARGIN + layout.title + below * (layout.plane[1] + _MARGIN),
    )


def _corner_words(grid: Grid) -> str:
    return "" if grid.y.kind == "nothing" else grid.y.title


def _draw_plane(
    canvas: Image, draw: ImageDraw, grid: Grid, plane: Plane, layout: _Layout, corner: tuple[int, int]
) -> int:
    """Draws one plane; the number of pictures that could not be read."""
    left, top = corner
    line = line_height(layout.text)
    if plane.label:
        write(draw, corner, plane.label, layout.text + 2, layout.plane[0], lines=1, bold=True)
        top += round(line * 1.5)
    if grid.x.kind != "nothing":
        write(draw, (left + layout.labels, top), grid.x.title, layout.text, layout.plane[0], lines=1, fill=QUIET)
    body = corner[1] + layout.head
    write(draw, (left, body - GAP // 2 - line), _corner_words(grid), layout.text, layout.labels, lines=1, fill=QUIET)
    for x, label in enumerate(grid.columns):
        lines = len(wrapped(label, font_for(label, layout.text), layout.wide, _HEADING_LINES))
        at = (left + layout.labels + x * (layout.wide + GAP), body - GAP // 2 - lines * line)
        write(draw, at, label, layout.text, layout.wide, lines=_HEADING_LINES)
    unread = 0
    for y, (label, row) in enumerate(zip(grid.rows, plane.cells, strict=True)):
        at = (left, body + y * (layout.high + layout.print + GAP))
        write(draw, at, label, layout.text, layout.labels - GAP, lines=max(1, layout.high // line))
        for x, cell in enumerate(row):
            unread += _draw_cell(canvas, draw, cell, layout, (at[0] + layout.labels + x * (layout.wide + GAP), at[1]))
    return unread


def _draw_cell(canvas: Image, draw: ImageDraw, cell: Cell | None, layout: _Layout, corner: tuple[int, int]) -> int:
    left, top = corner
    if cell is None:
        draw.rectangle((left, top, left + layout.wide - 1, top + layout.high - 1), fill=_VACANT)
        middle = (left + layout.wide / 2, top + layout.high / 2)
        draw.text(middle, NOTHING, font=font_for(NOTHING, layout.text), fill=QUIET, anchor="mm")
        return 0
    unread = 0
    wide, high = layout.picture
    for slot, sample in enumerate(cell.samples):
        y, x = divmod(slot, layout.across)
        at = (left + x * (wide + _SEAM), top + y * (high + _SEAM))
        if not place(canvas, sample.path if sample else None, at, (wide, high)):
            draw.rectangle((*at, at[0] + wide - 1, at[1] + high - 1), fill=EMPTY)
            unread += sample is not None
    if cell.words:
        write(draw, (left, top + layout.high + 1), cell.words, layout.text - 1, layout.wide, lines=1, fill=QUIET)
    return unread
