"""A session's pictures as one file: the grid with what a person who is shown it must know."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from bracket.domain import Sample
from bracket.report.xyz import SIDE, Cell, Grid, Written, write_png
from bracket.session.asked.settings import JudgeSettings, load
from bracket.session.stills import still
from bracket.session.view import SessionView

FOLDER = Path("report", "grids")
"""In a session's folder."""


def save(view: SessionView, grid: Grid, *, side: int = SIDE, out: Path | None = None) -> Written:
    """Writes a grid of a session's pictures as a PNG; by default under `report/grids`, one file for each set of axes.
    A clip is shown by the frame in its middle.

    Raises:
        SettingsError: the session's settings can't be read, or the grid is too large for a file.
        StorageError: the file can't be written.
    """
    settings = load(view.folder, to_read=True)
    judges = ", ".join(_judge(j) for j in settings.judges)
    preset = settings.load_preset()
    metadata = {"session": view.name, "preset": preset.title, "judge": judges}
    grid = _stills(grid, view.folder)
    return write_png(grid, out or view.folder / FOLDER / name(grid), title=title(grid), metadata=metadata, side=side)


def _stills(grid: Grid, session: Path) -> Grid:
    """The grid with a frame in place of every clip."""

    def shown(sample: Sample | None) -> Sample | None:
        return sample and replace(sample, path=still(sample.path, session))

    def of(cell: Cell | None) -> Cell | None:
        return cell and replace(cell, samples=tuple(map(shown, cell.samples)))

    planes = (replace(p, cells=tuple(tuple(map(of, row)) for row in p.cells)) for p in grid.planes)
    return replace(grid, planes=tuple(planes))


def title(grid: Grid) -> str:
    """ "Learning rate × prompt × rank"."""
    words = " × ".join(a.title for a in (grid.x, grid.y, grid.z) if a.kind != "nothing") or "the best picture"
    return words[:1].upper() + words[1:]


def name(grid: Grid) -> str:
    """A file name that says what the grid shows: "finals-200-steps-learning-rate-prompt.png"."""
    words = [grid.stage, *(a.name for a in (grid.x, grid.y, grid.z) if a.kind != "nothing")]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") + ".png"


def _judge(settings: JudgeSettings) -> str:
    model = settings.model if settings.kind == "openai_api" else Path(settings.model).name
    return f"{settings.kind} ({model})" if model else settings.kind
