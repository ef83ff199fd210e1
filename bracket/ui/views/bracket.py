"""The tournament, drawn: a lane for every config, its newest sample as its face, lines where it went on.

What changes each second (steps, shares) is told apart from the drawing, which the browser gets again only when somebody
began, ended or drew a picture, and of which it puts in place only the parts that differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.domain import Config, Round
from bracket.errors import BracketError
from bracket.session.asked.settings import FILE, SessionSettings, load
from bracket.session.reading import duel as duel_view
from bracket.session.reading.bracket import Cell, Column, Drawing, lay_out
from bracket.session.view import SessionView, TrialView, drawn
from bracket.ui.shared.context import TROUBLE, Context
from bracket.ui.shared.format import trial_state
from bracket.ui.shared.outcome import duel_of
from bracket.ui.shared.theme import script
from bracket.ui.views.cards import html, key

_FRAME = """
<div class="bracket">
  <div class="scroll" tabindex="-1"><div class="tree" data-parts></div></div>
  <div class="groups" data-parts></div>
  <p class="note quiet" role="status"></p>
</div>
"""
_MOST = 8
"""Sessions whose drawing is remembered."""


def build(context: Context, elem_id: str, *, sparks: bool = False) -> gr.HTML:
    """The drawing of the session that its value names (`value_of`). A click on a card opens `monitor.trial`.

    Args:
        sparks: leave room for the small loss curves that a chart with `sparks` on the same tab draws.
    """

    def tournament(asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return told(context.read(str(asked["session"])), str(asked.get("stamp", "")), sparks=sparks)
        except TROUBLE:
            return {"stamp": "", "now": {}}

    return gr.HTML(
        value=value_of(None),
        html_template=_FRAME,
        js_on_load=script("views/bracket.js"),
        server_functions=[tournament],
        elem_id=elem_id,
        apply_default_css=False,
    )


def value_of(view: SessionView | None) -> dict[str, Any]:
    """The part's value: which session, and whether it is worth asking every second."""
    live = view is not None and view.state in ("running", "stopping")
    return {"session": view.name if view else "", "state": view.state if view else "", "live": live}


def told(view: SessionView, stamp: str, *, sparks: bool = False) -> dict[str, Any]:
    """What the page is to show: the drawing if it is another than that of `stamp`, and what trains now."""
    shown = _shown(view)
    if sparks not in shown.parts:
        tree, groups = html(shown.made, view.verdict, shown.standing, sparks=sparks)
        new = hashlib.sha256(f"{view.folder}{tree}{groups}".encode()).hexdigest()[:16]
        shown.parts[sparks] = {"stamp": new, "tree": tree, "groups": groups}
    parts = shown.parts[sparks]
    return {"now": now(shown.busy, view)} | ({"stamp": stamp} if parts["stamp"] == stamp else parts)


def drawing(view: SessionView) -> Drawing:
    """The session's drawing, made anew only when somebody began, ended or drew a picture.

    Raises:
        SettingsError: its settings can't be read.
    """
    return _shown(view).made


@dataclass
class _Shown:
    """A session as it was drawn last.

    Attributes:
        of: all that it was drawn from. busy: the cards that train, with how many trainings each is to have.
        parts: what a page gets, by whether there is room for small curves.
    """

    of: tuple[Any, ...]
    made: Drawing
    standing: str
    busy: list[tuple[str, Cell, int]]
    parts: dict[bool, dict[str, str]] = field(default_factory=dict)


_known: dict[Path, _Shown] = {}


def _shown(view: SessionView) -> _Shown:
    duel = duel_of(view)
    arms = ("winner", "baseline") if duel is not None and not duel.same else ()
    fresh = {arm for arm in arms if drawn(view.folder, f"confirm/{arm}")}
    winner: Config | None = duel.winner.config if duel else None
    written = (view.folder / FILE).stat().st_mtime_ns
    standing = "" if view.verdict else _standing(view)
    # Views of ended trials stay the same objects, so that comparing even thousands takes no time.
    trials = [t if t.outcome is not None else replace(t, step=0, state=_rests(t)) for t in view.trials]
    seeds = _seeds(view)
    of = (trials, view.state, view.phase, view.verdict, standing, winner, fresh, seeds, written)
    known = _known.get(view.folder)
    if known is None or known.of != of:
        made = lay_out(view, _settings(view.folder, written), winner=winner, fresh=fresh, seeds=seeds)
        busy = [(key(x, c), c, _planned(made.columns[c.column], c)) for x in made.lanes for c in x.cells if c.open]
        known = _Shown(of, made, standing, busy)
        _known.pop(view.folder, None)
        _known[view.folder] = known
        for oldest in list(_known)[:-_MOST]:
            _known.pop(oldest, None)
    return known


def _rests(trial: TrialView) -> str:
    return trial.state if trial.state == "waiting" else ""


@lru_cache(maxsize=16)
def _settings(folder: Path, _stamp: int) -> SessionSettings:
    return load(folder, to_read=True)


def _seeds(view: SessionView) -> tuple[int, ...]:
    """The training seeds of the newest duel of the settings; none before one was planned."""
    try:
        duel = duel_view.read(view)
    except BracketError:  # its own panel says what is wrong
        return ()
    return duel.newest.training_seeds if duel else ()


def _standing(view: SessionView) -> str:
    """How the duel stands, in words; "" before it began."""
    try:
        duel = duel_view.read(view)
    except BracketError:  # its own panel says what is wrong
        return ""
    return duel_view.line(duel) if duel else ""


def _planned(column: Column, cell: Cell) -> int:
    """How many trainings a card's config is to have in its column."""
    return max(column.seeds if column.round is not Round.SEARCH else 1, len(cell.trials))


def now(busy: Sequence[tuple[str, Cell, int]], view: SessionView) -> dict[str, list[Any]]:
    """What trains now, by card: words and the share that is done. Tiles of small faces have the same keys."""
    trains = {t.id: t for t in view.trials if t.outcome is None} if busy else {}
    found = {}
    for name, cell, planned in busy:
        trials = [trains.get(t.id, t) for t in cell.trials]
        found[name] = [_doing(trials), _share(trials, planned)]
    return found


def _doing(trials: Sequence[TrialView]) -> str:
    trial = next((t for t in trials if t.outcome is None), trials[-1])
    which = f"seed {trials.index(trial) + 1}: " if len(trials) > 1 else ""
    return which + trial_state(trial).removeprefix("training " if which else "")


def _share(trials: Sequence[TrialView], planned: int) -> float:
    """Steps done of those all seeds are to have, 0 to 1."""
    done = sum(1.0 if t.outcome is not None else min(1.0, t.step / t.steps) for t in trials)
    return round(done / planned, 3)
