"""The duel as a panel: who leads and how sure that is, while it is fought and afterwards."""

from __future__ import annotations

import math
import zlib

from bracket.domain import Sample
from bracket.errors import BracketError
from bracket.report.words import config_label, percent, points
from bracket.search.space import varying
from bracket.session.duel.plan import BASELINE, WINNER
from bracket.session.reading import duel as duel_view
from bracket.session.reading.duel import Comparison, DuelView, Fight, evalue
from bracket.session.view import SessionView
from bracket.ui.shared.format import esc, picture

_TITLES = {
    "prompt": ("The two LoRA files", "on fresh prompts, same starting noise"),
    "theme": ("The two LoRA files", "on fresh prompts by theme, same starting noise"),
    "pair": ("The settings", "each trained afresh with the same new seeds"),
}
_NAMES = {BASELINE: "baseline", "runner_up": "runner-up"}
_EVALUE = (
    "How well betting on the winner has paid so far: 1 is no evidence. If the two were equal, it would ever reach the "
    "threshold in no more than one in that many sessions, however often you look."
)
_SURE = "Where the true mean difference lies, at {level}, whenever you look. It appears after about seven units."
_RATE = "The interval is for looking once; the bar in the picture holds for looking as often as you like."
_WIDTH, _HEIGHT, _EDGE = 320, 92, 10
_HIDDEN = "Whose is whose stays hidden until you have voted on them."


def panel_html(view: SessionView | None, *, sealed: bool = False, pictures: bool = True) -> str:
    """The panel; "" before the duel's plan was fixed.

    Args:
        sealed: don't tell whose the pictures are, for a person who is still to vote on them.
        pictures: show the newest pair of pictures.
    """
    if view is None:
        return ""
    try:
        duel = duel_view.read(view)
    except BracketError as error:
        return f'<p class="message error">{esc(error)}</p>'
    if duel is None:
        return ""
    fights = "".join(_fight(f, sealed=sealed, pictures=pictures) for f in duel.fights)
    return f'<section class="duel">{_header(duel)}<div class="fights">{fights}</div></section>'


def _header(duel: DuelView) -> str:
    arms = duel.plan.arms
    names = varying(list(arms.values()))
    words = f"{config_label(arms[WINNER], names)} against " + " and ".join(
        f"the {_NAMES[name]} ({config_label(arms[name], names)})" for name in duel.plan.others
    )
    rule = f' <abbr title="{esc(duel.plan.rule)}">The rules</abbr> were fixed before the first picture.'
    return f'<header><h2>The duel</h2><span class="quiet">{esc(words)}.{rule if duel.plan.rule else ""}</span></header>'


def _fight(fight: Fight, *, sealed: bool, pictures: bool) -> str:
    title, how = _TITLES[fight.kind]
    body = "".join(_comparison(fight, c) for c in fight.comparisons)
    shown = _newest(fight, sealed) if pictures and fight.newest else ""
    before = f'<p class="quiet">{esc(words)}</p>' if (words := duel_view.added(fight)) else ""
    return f'<article class="fight"><h3>{title}, {how}</h3>{before}{body}{shown}</article>'


def _comparison(fight: Fight, c: Comparison) -> str:
    rate = f' <span class="quiet" title="{esc(_RATE)}">{esc(duel_view.won(c))}</span>' if c.win_rate else ""
    said = esc(duel_view.evidence(fight, c))
    said = said.replace("e-value", f'<abbr title="{esc(_EVALUE)}">e-value</abbr>', 1)
    plots = f'<div class="plots">{_dots(c)}{_path(fight, c)}</div>' if c.dots else ""
    lead = esc(duel_view.lead(fight, c))
    return f'<p class="lead">{lead}{rate}</p><p class="how {_tone(fight, c)}">{said}</p>{plots}'


def _tone(fight: Fight, c: Comparison) -> str:
    if c.watched.decided:
        return "good" if c.watched.decided == WINNER else "bad"
    return "quiet" if c.watched.hopeless or not fight.over else ""


def _newest(fight: Fight, sealed: bool) -> str:
    assert fight.newest is not None
    sides: list[tuple[Sample, str]] = list(zip(fight.newest, (WINNER, BASELINE), strict=True))
    if sealed:
        turned = zlib.crc32(sides[0][0].prompt.encode()) % 2
        sides = [(sample, "one of the two") for sample, _ in (reversed(sides) if turned else sides)]
    figures = "".join(f"<figure>{picture(s, name)}<figcaption>{esc(name)}</figcaption></figure>" for s, name in sides)
    note = f" {_HIDDEN}" if sealed else ""
    return f'<div class="newest">{figures}<span class="prompt">{esc(sides[0][0].prompt)}.{note}</span></div>'


# Drawings


def _dots(c: Comparison) -> str:
    """Each unit as a dot by the winner's lead, the mean, and the confidence sequence as a bar."""
    w, lines = c.watched, []
    ends = [abs(d.difference) for d in c.dots]
    reach = max([1e-3, *ends]) * 1.1
    middle, base = _WIDTH / 2, _HEIGHT - 22

    def x(value: float) -> float:
        return middle + max(-1.0, min(1.0, value / reach)) * (middle - _EDGE)

    lines.append(f'<line class="axis" x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{base}" y2="{base}"/>')
    lines.append(f'<line class="zero" x1="{middle}" x2="{middle}" y1="4" y2="{base + 4}"/>')
    if w.low is not None or w.high is not None:
        low, high = (-reach if w.low is None else w.low), (reach if w.high is None else w.high)
        said = _SURE.format(level=percent(w.level))
        told = " to ".join("open" if end is None else points(end) for end in (w.low, w.high))
        lines.append(
            f'<line class="sure" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{base}" y2="{base}">'
            f"<title>{esc(told)} points. {esc(said)}</title></line>"
        )
    step = (base - 16) / max(1, len(c.dots))
    for place, dot in enumerate(c.dots):
        tone = "ours" if dot.difference > 0 else "theirs" if dot.difference < 0 else "even"
        lines.append(
            f'<circle class="{tone}" cx="{x(dot.difference):.1f}" cy="{8 + step * (place + 0.5):.1f}" r="3.5">'
            f"<title>{esc(dot.label)}: {points(dot.difference)} points</title></circle>"
        )
    at = x(c.mean)
    lines.append(f'<line class="mean" x1="{at:.1f}" x2="{at:.1f}" y1="{base - 6}" y2="{base + 6}"/>')
    other = _NAMES[c.other]
    lines.append(f'<text x="{_EDGE}" y="{_HEIGHT - 4}">{other} better</text>')
    lines.append(f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 4}" text-anchor="end">winner better</text>')
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">0</text>')
    return _svg(f"Difference in what is judged, {len(c.dots)} units, mean {points(c.mean)} points", lines)


def _path(fight: Fight, c: Comparison) -> str:
    """The e-value after each unit against its threshold, on a log axis."""
    w = c.watched
    if not math.isfinite(w.e_needed):
        return ""
    values = [1.0, *(max(v, 1e-9) for v in w.path)]
    top = max(w.e_needed * 2, max(values) * 1.2)
    floor = min(0.5, max(min(values), 1e-2) * 0.8)
    left, right, high, low = 28.0, _WIDTH - 8.0, 8.0, _HEIGHT - 22.0

    def at(place: int, value: float) -> tuple[float, float]:
        share = (math.log(max(value, floor)) - math.log(floor)) / (math.log(top) - math.log(floor))
        return left + (right - left) * place / max(1, fight.planned), low - (low - high) * share

    lines = []
    for value in (0.1, 1.0, 10.0, 100.0):
        if floor <= value <= top and not 0.5 < value / w.e_needed < 2:
            y = at(0, value)[1]
            lines.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text x="{left - 4}" y="{y + 3:.1f}" text-anchor="end">{value:g}</text>')
    y = at(0, w.e_needed)[1]
    lines.append(f'<line class="needed" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    lines.append(f'<text x="{left - 4}" y="{y + 3:.1f}" text-anchor="end">{evalue(w.e_needed)}</text>')
    points = [at(place, value) for place, value in enumerate(values)]
    lines.append(f'<polyline class="path" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in points)}"/>')
    lines.append(
        f'<circle class="end" cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3"><title>{esc(_EVALUE)}</title>'
        "</circle>"
    )
    lines.append(f'<text x="{left}" y="{_HEIGHT - 4}">evidence for the winner</text>')
    lines.append(f'<text x="{right}" y="{_HEIGHT - 4}" text-anchor="end">{fight.planned} {fight.kind}s</text>')
    return _svg(f"e-value {evalue(w.e_winner)}, {evalue(w.e_needed)} decides", lines)


def _svg(title: str, lines: list[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{esc(title)}">{"".join(lines)}</svg>'
