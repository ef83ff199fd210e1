"""Writes a session's report, file by file, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bracket.files import storage_errors, write_json, write_text, written_whole
from bracket.report.claims import certificate
from bracket.report.figures import drawing
from bracket.report.figures import plots as figures
from bracket.report.material.searched import look
from bracket.report.sections import contents, mattered
from bracket.report.summary import Summary
from bracket.report.writing import html, markdown
from bracket.report.writing.document import Document, PictureRow, Pictures, with_pictures
from bracket.report.writing.grid import picture_grid

_THUMB = 192
"""Three times the embedded demo's 64 pixels, so that its whole pixels stay square."""


def write(summary: Summary, folder: Path, shown: Callable[[Path], Path] = lambda path: path) -> Path:
    """Writes report.md, report.html, figures/*.png, mattered.json and certificate.json. Returns report.html's path.

    report.html comes last, so that where it is the whole report is.

    Args:
        shown: the picture to show for a sample's file, which may be a clip.

    Raises:
        StorageError: the disk is full or the folder can't be written; an older report stays as it was, file by file.
    """
    searched = look(summary)
    plots = figures.plots(summary, searched)
    document = with_pictures(contents.compose(summary, plots, searched), shown)
    pictures = folder / "figures"
    drawing.save(plots, pictures)
    write_json(folder / mattered.FILE, mattered.as_json(summary, searched, plots))
    _save_grids(document, pictures)
    certificate.write(summary, folder)
    write_text(folder / "report.md", markdown.render(document))
    path = folder / "report.html"
    with storage_errors(pictures):
        page = html.render(document, pictures)
    write_text(path, page)
    return path


def _save_grids(document: Document, folder: Path) -> None:
    for block in document.blocks():
        if isinstance(block, Pictures):
            rows = [(_label(row), row.pictures) for row in block.rows]
            with written_whole(folder / f"{block.name}.png") as part:
                picture_grid(rows, block.columns, _THUMB).save(part, "PNG", optimize=True)


def _label(row: PictureRow) -> str:
    return f"{row.label}\n{row.detail}" if row.detail else row.label
