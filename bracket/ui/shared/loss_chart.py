"""The loss chart: a canvas in the browser, fed with the points it has not got yet."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from bracket.domain import Round
from bracket.session import view as sessions
from bracket.session.view import SessionView, TrialView
from bracket.ui.shared.context import TROUBLE
from bracket.ui.shared.theme import script

_FRAME = """
<div class="chart" {sparks}>
  <div class="bar">
    <strong>Loss</strong>
    <label>Smoothing <input type="range" min="0" max="999" step="1" value="900" aria-label="Smoothing">
      <output>0.90</output></label>
    <label><input type="checkbox"> Log axis</label>
    <span class="key">line: training · dot: held-out pictures</span>
    <span class="note" role="status"></span>
  </div>
  <div class="plot"><canvas></canvas><p class="nothing">{empty}</p><div class="tip" hidden></div></div>
  <div class="legend"></div>
</div>
"""
_BEST, _MOST = 2, 100


def chart(read: Callable[[str], SessionView], elem_id: str, empty: str, *, sparks: bool = False) -> gr.HTML:
    """A chart whose value is {"session": name, "only": trial ids or None, "live": bool}.

    Args:
        read: gives a session by name; raises BracketError for one that is not there.
        empty: the words that stand where there is no curve.
        sparks: also draws the small curves on the trials' cards.
    """

    def curves(asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"trials": points(read(str(asked["session"])), asked["only"], asked["cursors"])}
        except TROUBLE:
            return {"trials": []}

    return gr.HTML(
        value={"session": "", "only": None, "live": False},
        html_template=_FRAME.format(empty=empty, sparks="data-sparks" if sparks else ""),
        js_on_load=script("shared/loss_chart.js"),
        server_functions=[curves],
        elem_id=elem_id,
        apply_default_css=False,
    )


def points(view: SessionView, only: Sequence[str] | None, cursors: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """What each trial's curves have gained since `cursors` (trial id to [training cursor, validation cursor])."""
    shown = default_shown(view)
    wanted = _listed(view, shown) if only is None else set(only)
    found = []
    for trial in view.trials:
        if trial.id not in wanted or trial.state == "waiting":
            continue
        train, marks = (*cursors.get(trial.id, ()), 0, 0)[:2]
        found.append(
            {
                "id": trial.id,
                "label": trial.label,
                "show": only is not None or trial.id in shown,
                "train": _chunk(sessions.loss_points(trial.folder, int(train))),
                "marks": _chunk(sessions.validation_points(trial.folder, int(marks))),
            }
        )
    return found


def default_shown(view: SessionView) -> set[str]:
    """The curves to begin with, of the newest round that has any: running trials, the baseline, and the best two."""
    started = [t for t in view.trials if t.state != "waiting"]
    if not started:
        return set()
    newest = [t for t in started if t.round is started[-1].round]
    best = sorted((t for t in newest if t.score is not None), key=_total)[:_BEST]
    baseline = next((t for t in newest if t.origin == "baseline"), newest[0])
    return {t.id for t in (baseline, *best, *(t for t in newest if t.outcome is None))}


def _listed(view: SessionView, shown: set[str]) -> set[str]:
    """Trials whose curves the page holds: all, or of very many the newest, the furthest and best, and `shown`."""
    if len(view.trials) <= 2 * _MOST:
        return {t.id for t in view.trials}
    order = {round_: place for place, round_ in enumerate(Round)}
    best = sorted(view.trials, key=lambda t: (-order[t.round], -t.rung, _total(t)))[:_MOST]
    return shown | {t.id for t in (*best, *view.trials[-_MOST:])}


def _total(trial: TrialView) -> float:
    return trial.score.total if trial.score is not None else math.inf


def _chunk(new: tuple[int, Sequence[int], Sequence[float]]) -> dict[str, Any] | None:
    cursor, steps, values = new
    return {"cursor": cursor, "steps": _packed(steps), "values": _packed(values)} if steps else None


def _packed(values: Sequence[float]) -> str:
    """Numbers as base64 of little-endian float32, which JavaScript reads without parsing."""
    packed = array("f", values)
    return base64.b64encode(packed.tobytes()).decode()
