"""`grid`: a session's pictures by any knob × any knob × prompt, as one PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bracket.errors import SettingsError
from bracket.files import given_path


def grid(
    session: Annotated[str, typer.Argument(help="A session's name under the runs folder, or its folder.")],
    x: Annotated[str, typer.Option(help="Columns: a knob, prompt, step, training_seed, sample_seed, round.")] = "",
    y: Annotated[str, typer.Option(help="Rows, likewise.")] = "",
    z: Annotated[str, typer.Option(help="Separate grids, likewise.")] = "",
    round_: Annotated[str, typer.Option("--round", help='Such as search or "search, 120 steps".')] = "",
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt, or words of it. Repeatable.")] = None,
    prompts: Annotated[int, typer.Option(min=1, max=1_000, help="How many prompts, where none is named.")] = 4,
    most: Annotated[
        int, typer.Option(min=1, max=1_000, help="Columns, rows or grids; more values are put into ranges.")
    ] = 12,
    side: Annotated[int, typer.Option(min=24, max=4_096, help="Side of a picture in pixels.")] = 256,
    out: Annotated[Path | None, typer.Option(help="The PNG; under the session's report by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there already.")] = False,
) -> None:
    """Lay a session's pictures out as a labelled grid (X/Y/Z plot) in one PNG."""
    from bracket.report import xyz
    from bracket.session import view
    from bracket.session.asked.settings import load
    from bracket.session.reading.grid import save
    from bracket.session.running import launch

    folder = launch.named(session)
    load(folder, to_read=True)
    shown = view.read(folder)
    axes, stages = xyz.axes_of(shown.trials), xyz.stages_of(shown.trials)
    chosen = xyz.chosen(axes, x, y, z)
    everything = any(axis.kind == "round" for axis in chosen)
    stage = xyz.stage_named(round_, stages) if round_ else None if everything else xyz.longest(shown.trials)
    drawn = xyz.prompts_of(shown.trials, stage)
    wanted = _named(prompt, drawn) if prompt else drawn[:prompts]
    laid = xyz.build(shown.trials, *chosen, stage=stage, prompts=wanted or None, most=most)
    made = save(shown, laid, side=side, out=_png(out, force))
    typer.echo("\n".join([f"{made.path} ({made.width} × {made.height} px)", *made.notes]))


def _named(asked: Sequence[str], drawn: Sequence[str]) -> list[str]:
    """The drawn prompts that are, or hold, what was asked for."""
    found: list[str] = []
    for words in asked:
        near = [words] if words in drawn else [p for p in drawn if words.lower() in p.lower()]
        if not near:
            remedy = f"The first that was drawn: {drawn[0]!r}." if drawn else ""
            raise SettingsError(f"no prompt of this round holds {words!r}", remedy=remedy)
        found += near
    return list(dict.fromkeys(found))


def _png(out: Path | None, force: bool) -> Path | None:
    """The file as it was named, with .png where it has no suffix. Raises SettingsError for one that is there."""
    if out is None:
        return None
    path = given_path(out).absolute()
    if path.is_dir():
        raise SettingsError("--out is a folder", path=path, remedy="Name a file in it, such as grid.png.")
    if path.suffix.lower() not in ("", ".png"):
        raise SettingsError("--out must be a .png file", path=path, remedy="Only PNG keeps the settings in the file.")
    path = path if path.suffix else path.with_suffix(".png")
    if os.path.lexists(path) and not force:
        remedy = "Name another, or add --force to write over it."
        raise SettingsError("there is a file of this name already", path=path, remedy=remedy)
    return path
