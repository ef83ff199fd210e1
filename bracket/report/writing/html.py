"""The report as one HTML file that needs nothing else: pictures and plots inside, no scripts, no network.

Pictures shrink until the file stays below `BUDGET`, so that a report can be mailed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bracket.report.words import judged
from bracket.report.writing.document import Document, Figure, Pictures
from bracket.report.writing.grid import TINY, thumbnail

SIDES = (384, 256, 192, 128)
BUDGET = 4_500_000
"""Bytes that embedded pictures may take before they are made smaller."""


@dataclass(frozen=True)
class Embedded:
    """A picture inside the page. `tiny` ones are enlarged by whole pixels."""

    uri: Markup
    width: int
    height: int
    tiny: bool


def render(document: Document, figures: Path) -> str:
    """The whole report as HTML.

    Args:
        figures: folder with the plots, see `figures.drawing.save`.
    """
    pictures = _embed_pictures(document)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["judged"] = judged
    template = environment.get_template("report.html.j2")
    style = Markup((Path(__file__).parent / "report.css").read_text(encoding="utf-8"))
    return template.render(
        document=document,
        style=style,
        pictures=pictures,
        plots=_embed_plots(document.figures(), figures),
        kind=lambda block: type(block).__name__,
    )


def _unbroken(value: object) -> object:
    """Keeps a percentage on one line. What is escaped already (code to copy) stays as it is."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value


def _embed_pictures(document: Document) -> dict[Path, Embedded]:
    """Every picture of the grids by its path; those that can't be read are left out."""
    paths = {
        path
        for block in document.blocks()
        if isinstance(block, Pictures)
        for row in block.rows
        for path in row.pictures
        if path is not None
    }
    found: dict[Path, Embedded] = {}
    for side in SIDES:
        found = {path: embedded for path in sorted(paths) if (embedded := _embed(path, side))}
        if sum(len(embedded.uri) for embedded in found.values()) <= BUDGET:
            break
    return found


def _embed(path: Path, side: int) -> Embedded | None:
    made = thumbnail(path, side)
    if made is None:
        return None
    data, mime, width, height = made
    return Embedded(_data_uri(data, mime), width, height, max(width, height) <= TINY)


def _embed_plots(plots: list[Figure], folder: Path) -> dict[str, tuple[Markup, Markup]]:
    """Light and dark drawing of each plot by its name."""
    return {plot.name: (_png(folder / f"{plot.name}.png"), _png(folder / f"{plot.name}-dark.png")) for plot in plots}


def _png(path: Path) -> Markup:
    return _data_uri(path.read_bytes(), "image/png")


def _data_uri(data: bytes, mime: str) -> Markup:
    # Base64 and the two types above hold nothing that HTML could misread.
    return Markup(f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}")
