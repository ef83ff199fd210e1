"""The grid in Results: any knob × any knob × prompt, on the page and as one PNG to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.domain import Round, Sample
from bracket.errors import BracketError
from bracket.report import xyz
from bracket.report.words import NOTHING, config_label, score
from bracket.session.reading.grid import save
from bracket.session.view import SessionView
from bracket.ui.shared.context import Context, said, warned
from bracket.ui.shared.format import empty_html, esc, file_url, frame_html, size
from bracket.ui.shared.outcome import sealed_html
from bracket.ui.views import booth as vote

LONGEST = ""
"""The round picker's value for whichever stage has the longest trials with pictures."""
SIDE = 160
"""Pixels of a picture's place on the page; a file has twice as many."""
EMPTY = "No pictures yet. The grid fills as trials draw."
_RESIZE = "side => { document.getElementById('xyz')?.style.setProperty('--side', side + 'px'); return []; }"


@dataclass(frozen=True)
class Choices:
    """What a session's grid can be of."""

    axes: list[xyz.Axis]
    stages: list[xyz.Stage]
    longest: xyz.Stage | None


class Grids:
    """Choices by session, so that a page that asks again gets them at once; they are made anew when trials drew."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[str, Choices]] = {}

    def of(self, view: SessionView) -> Choices:
        stamp = stamp_of(view)
        if view.folder not in self._known or self._known[view.folder][0] != stamp:
            before = [t for t in view.trials if t.round is not Round.CONFIRMATION]  # a person votes on the duel's first
            longest = xyz.longest(before) or xyz.longest(view.trials)
            made = Choices(xyz.axes_of(view.trials), xyz.stages_of(view.trials), longest)
            self._known[view.folder] = stamp, made
        return self._known[view.folder][1]


@dataclass(frozen=True)
class Parts:
    """The section's fields, in the order its events get them, and what they fill."""

    x: gr.Dropdown
    y: gr.Dropdown
    z: gr.Dropdown
    stage: gr.Dropdown
    prompts: gr.Dropdown
    side: gr.Slider
    table: gr.HTML
    saved: gr.HTML

    @property
    def axes(self) -> list[gr.Dropdown]:
        return [self.x, self.y, self.z]

    @property
    def asked(self) -> list[gr.components.Component]:
        return [*self.axes, self.stage, self.prompts]


def build(context: Context, session: gr.Dropdown) -> gr.State:
    """The section with its events. The page writes `stamp_of` into the state it gives, and the grid follows."""
    gr.HTML("<h2>Grid</h2>", apply_default_css=False)
    with gr.Row(elem_id="xyz-bar"):
        x, y, z = (gr.Dropdown([], label=label, elem_id=f"xyz-{label[0].lower()}", min_width=130) for label in _LABELS)
        stage = gr.Dropdown([], label="Round", elem_id="xyz-stage", min_width=160)
        side = gr.Slider(64, 384, SIDE, step=32, label="Picture size", elem_id="xyz-side", min_width=150)
        button = gr.Button("Save as PNG", elem_id="xyz-save", scale=0, min_width=120)
    prompts = gr.Dropdown([], multiselect=True, label="Prompts", elem_id="xyz-prompts")
    saved = gr.HTML(apply_default_css=False, elem_id="xyz-saved")
    table = gr.HTML(empty_html(EMPTY), apply_default_css=False, elem_id="xyz")
    stamp = gr.State("")
    parts, grids = Parts(x, y, z, stage, prompts, side, table, saved), Grids()

    def show(changed: int | None, name: str | None, *asked: Any) -> list[Any]:
        if not name:
            return [*(gr.update(choices=[], value=None) for _ in parts.asked), empty_html(EMPTY), ""]
        return [*shown(context.read(name), grids, changed, *asked), ""]

    def follow(*given: Any) -> list[Any]:
        """What was saved stays while trials come in."""
        return show(None, *given)[:-1]

    def keep(name: str | None, side: float, *asked: Any) -> str:
        return saved_html(context.read(name), grids, round(side), *asked) if name else ""

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    last: dict[str, Any] = {**private, "trigger_mode": "always_last"}
    inputs, filled = [session, *parts.asked], [*parts.asked, table]
    for number, axis in enumerate(parts.axes):
        axis.input(warned(partial(show, number)), inputs, [*filled, saved], **last)
    gr.on([session.change, stage.input, prompts.input], warned(partial(show, None)), inputs, [*filled, saved], **last)
    stamp.change(warned(follow), inputs, filled, **last)
    button.click(warned(keep), [session, side, *parts.asked], saved, **private)
    side.change(None, side, None, js=_RESIZE, **private)
    return stamp


_LABELS = ("X: columns", "Y: rows", "Z: separate grids")


def stamp_of(view: SessionView | None) -> str:
    """Changes when the grid may look different."""
    if view is None:
        return ""
    drawn = tuple((t.id, len(t.samples), t.score.total if t.score else None) for t in view.trials if t.samples)
    return f"{view.folder} {len(drawn)} {hash(drawn)} {vote.sealed(view, view.trials)}"


def shown(
    view: SessionView,
    grids: Grids,
    changed: int | None,
    x: str | None,
    y: str | None,
    z: str | None,
    stage: str | None,
    prompts: list[str] | None,
) -> list[Any]:
    """Updates for the fields, and the grid's HTML. What a session lacks is chosen anew.

    Args:
        changed: the axis that a person has just chosen: another that shows the same gives way to it.
    """
    choices = grids.of(view)
    if choices.longest is None:
        return [*(gr.update(choices=[], value=None) for _ in range(5)), empty_html(EMPTY)]
    names = {a.name for a in choices.axes}
    kept = once([n if n in names else "" for n in (x or "", y or "", z or "")], changed)
    axes = xyz.chosen(choices.axes, *kept)
    at = _stage(choices, axes, stage)
    drawn = xyz.prompts_of(view.trials, at)
    wanted = [p for p in prompts or [] if p in drawn] or drawn[: xyz.FIRST_PROMPTS]
    try:
        html = table_html(xyz.build(view.trials, *axes, stage=at, prompts=wanted))
        if vote.sealed(view, (t for t in view.trials if at in (None, xyz.stage_of(t)))):
            html = sealed_html("With pictures of the duel", html)
    except BracketError as error:
        html = f'<p class="message error">{said(error)}</p>'
    listed = [(a.title, a.name) for a in choices.axes]
    rounds = [(f"longest: {choices.longest.label}", LONGEST), *((s.label, s.label) for s in choices.stages)]
    chosen_stage = stage if stage in {s.label for s in choices.stages} else LONGEST
    everything = any(a.kind == "round" for a in axes)
    return [
        *(gr.update(choices=listed, value=axis.name) for axis in axes),
        gr.update(choices=rounds, value=chosen_stage, interactive=not everything),
        gr.update(choices=drawn, value=wanted),
        html,
    ]


def once(names: Sequence[str], changed: int | None) -> list[str]:
    """The axes, with "" for those that are on another one already: on the changed one, else on one before."""
    order = sorted(range(len(names)), key=lambda i: i != changed)
    made = list(names)
    for place, i in enumerate(order):
        if names[i] != xyz.NOTHING.name and names[i] in [names[j] for j in order[:place]]:
            made[i] = ""
    return made


def _stage(choices: Choices, axes: Sequence[xyz.Axis], label: str | None) -> xyz.Stage | None:
    if any(a.kind == "round" for a in axes):
        return None
    return next((s for s in choices.stages if s.label == label), choices.longest)


def saved_html(
    view: SessionView,
    grids: Grids,
    side: int,
    x: str | None,
    y: str | None,
    z: str | None,
    stage: str | None,
    prompts: list[str] | None,
) -> str:
    """Makes the file and gives a link to it. Twice the page's size, as dense screens show it.

    Raises:
        BracketError: there is nothing to save, or it can't be written.
    """
    choices = grids.of(view)
    axes = xyz.chosen(choices.axes, x or "", y or "", z or "")
    grid = xyz.build(view.trials, *axes, stage=_stage(choices, axes, stage), prompts=prompts or None)
    made = save(view, grid, side=2 * side)
    written = made.path.stat()
    address = esc(f"{file_url(made.path)}?{written.st_mtime_ns}")
    facts = f"{made.width} × {made.height} px, {size(written.st_size)}"
    return (
        f'<p><a href="{address}" download="{esc(f"{view.name}-{made.path.name}")}">Download {esc(made.path.name)}</a> '
        f'<span class="quiet">{" · ".join(map(esc, (facts, *made.notes)))}</span></p>'
    )


def table_html(grid: xyz.Grid) -> str:
    """The grid with its headings, one table for each value of Z."""
    notes = "".join(f'<p class="quiet">{esc(note)}</p>' for note in grid.notes)
    across = next(n for n in range(1, grid.slots + 1) if n * n >= grid.slots)
    tables = "".join(_plane_html(grid, plane) for plane in grid.planes)
    return f'<div class="xyz" style="--across: {across}">{tables}{notes}</div>'


def _plane_html(grid: xyz.Grid, plane: xyz.Plane) -> str:
    heads = "".join(f'<th scope="col" title="{esc(c)}"><span>{esc(c)}</span></th>' for c in grid.columns)
    corner = " / ".join(a.title for a in (grid.y, grid.x) if a.kind != "nothing")
    body = "".join(
        f'<tr><th scope="row" title="{esc(label)}"><span>{esc(label)}</span></th>'
        + "".join(_cell_html(cell) for cell in row)
        + "</tr>"
        for label, row in zip(grid.rows, plane.cells, strict=True)
    )
    title = f"<h3>{esc(plane.label)}</h3>" if plane.label else ""
    return f"{title}<table><thead><tr><th>{esc(corner)}</th>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell_html(cell: xyz.Cell | None) -> str:
    if cell is None:
        return f'<td><div class="vacant">{NOTHING}</div></td>'
    pictures = "".join(_picture_html(cell, sample) for sample in cell.samples)
    words = f"<small>{cell.words}</small>" if cell.words else ""
    return f'<td title="{esc(_tip(cell))}"><div class="cell">{pictures}</div>{words}</td>'


def _picture_html(cell: xyz.Cell, sample: Sample | None) -> str:
    if sample is None:
        return '<span class="frame"></span>'
    words = f"{_tip(cell)}\n{sample.prompt}\nsample seed {sample.seed}, step {sample.step}"
    return frame_html(sample.path, alt=sample.prompt, large=words)


def _tip(cell: xyz.Cell) -> str:
    """The trial with all its settings."""
    trial = cell.trial
    chosen = f", the {cell.words} that match" if cell.words else ""
    return (
        f"{trial.id}: {config_label(trial.config, trial.config)}, training seed {trial.seed}, {trial.steps} steps, "
        f"score {score(cell.score)}{chosen}"
    )
