"""The drawn tournament as HTML: a card for every config in every column, and small faces for the many that went out."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

from bracket.domain import Round, mean
from bracket.report.words import counted, score
from bracket.session.reading.bracket import Cell, Column, Drawing, Lane, fold
from bracket.ui.shared import gallery
from bracket.ui.shared.format import esc, frame_html, reason, trial_state

MOST = 24
"""Lanes that are drawn; the other configs are small faces."""
MOST_FACES = 400
"""Small faces that are drawn; of the rest the table tells."""
_TONES = {"busy": "busy", "through": "good", "advanced": "good", "failed": "bad"}


def html(made: Drawing, verdict: str, standing: str = "", *, sparks: bool = False) -> tuple[str, str]:
    """The drawing's keyed parts: of the tree, and of the groups of small faces below it. What steps change isn't in it.

    Args:
        verdict: the verdict's sentence (Markdown), "" before there is one. standing: how the duel stands until then.
        sparks: leave room for small loss curves.
    """
    lanes, groups = fold(made, MOST)
    rows = max(len(lanes), 1 if groups else min(made.columns[0].planned, MOST), 1)
    busy = Counter(lane.last.column for lane in made.lanes if lane.last.fate == "busy")
    on = Counter(c.column for lane in made.lanes for c in lane.cells if c.column < lane.reach)
    parts = [_head(c, n, made, rows, _progress(c, busy[n], on[n])) for n, c in enumerate(made.columns)]
    edges = set()
    for n, column in enumerate(made.columns):
        stood = _competitors(lanes, n)
        edges |= {(n, row) for row in stood[:1] + stood[-1:] if len(stood) > 1}
        parts += _gate(stood, n) + _slots(lanes, column, n, rows)
    for row, lane in enumerate(lanes):
        parts.append(_line(lane, row, won=lane.id == made.winner))
        parts += [_card(lane, cell, made, row, edge=(cell.column, row) in edges, sparks=sparks) for cell in lane.cells]
        parts += [_next(lane, row)] if lane.last.fate == "through" else []
    if len(made.columns) > 1:
        parts += _champion(made, verdict, standing, rows)
    return "".join(parts), _groups(groups, made)


def _at(column: int, row: int = -1, *, rows: int = 1, columns: int = 1) -> str:
    """A place in the tree's grid: columns from 0, lanes from 0 below the heads."""
    return f'style="grid-area:{row + 2}/{column + 1}/span {rows}/span {columns}"'


def key(lane: Lane, cell: Cell) -> str:
    """What a card is told apart by; a small face has the same."""
    return f"{lane.id}/{cell.column}"


def _head(column: Column, number: int, made: Drawing, rows: int, progress: str) -> str:
    """It reaches over all rows, and so stays in sight while one scrolls through them."""
    rungs = sum(c.round is Round.SEARCH for c in made.columns)
    names = {Round.SEARCH: f"Rung {column.rung + 1}" if rungs > 1 else "Search", Round.FINALS: "Finals"}
    title = names.get(column.round, "Duel")
    return (
        f'<header data-key="head/{number}" {_at(number, rows=rows + 1)}><b>{title}</b> <span>{_size(column)}</span>'
        f"<i>{esc(progress)}</i></header>"
    )


def _size(column: Column) -> str:
    """ "30 steps · 12 configs"."""
    if column.round is Round.FINALS:
        return f"{column.steps} steps · {counted(column.seeds, 'seed')}"
    if column.round is Round.CONFIRMATION:
        return f"{counted(column.seeds, 'fresh pair')} · {column.steps} steps" if column.seeds else "fresh prompts"
    return f"{column.steps} steps · {_about(column)}{counted(_configs(column), 'config')}"


def _about(column: Column) -> str:
    return "about " if column.about and not column.closed and column.begun < column.planned else ""


def _configs(column: Column) -> int:
    """How many it has, or will have."""
    return column.begun if column.closed else max(column.begun, column.planned)


def _progress(column: Column, busy: int, on: int) -> str:
    """How many are done, or went on."""
    if column.round is Round.CONFIRMATION:
        return "winner against baseline"
    if not column.begun:
        return f"{_about(column)}{counted(_configs(column), 'config')} to come" if not column.closed else ""
    if not column.closed:
        return f"{column.ended} of {_configs(column)} done" + (f", {busy} now" if busy else "")
    return f"{on} went on, {column.begun - on} out" if on else counted(column.begun, "config")


def _competitors(lanes: tuple[Lane, ...], column: int) -> list[int]:
    """The rows of those that stood in a column and did not fail there."""
    return [r for r, lane in enumerate(lanes) if any(c.column == column and c.fate != "failed" for c in lane.cells)]


def _gate(rows: list[int], column: int) -> list[str]:
    """The bracket that closes a column: all who stood in it, of whom some go on."""
    if len(rows) < 2:
        return []
    span = rows[-1] - rows[0] + 1
    return [f'<span class="gate" data-key="gate/{column}" {_at(column, rows[0], rows=span)}></span>']


def _slots(lanes: tuple[Lane, ...], column: Column, number: int, rows: int) -> list[str]:
    """Places that nobody has yet."""
    if column.closed:
        return []
    taken = {row for row, lane in enumerate(lanes) if any(c.column == number for c in lane.cells)}
    taken |= {row for row, lane in enumerate(lanes) if lane.last.fate == "through" and lane.reach == number}
    free = [row for row in range(min(column.planned, rows)) if row not in taken]
    return [f'<span class="slot" data-key="slot/{number}/{row}" {_at(number, row)}></span>' for row in free]


def _line(lane: Lane, row: int, *, won: bool) -> str:
    """The line behind a lane's cards, from its first to where it has come."""
    first = lane.cells[0].column
    wide = lane.reach - first + 1
    hidden = " hidden" if wide < 2 else ""
    return (
        f'<span class="way{" won" if won else ""}" data-key="way/{lane.id}" {_at(first, row, columns=wide)}'
        f"{hidden}></span>"
    )


def _next(lane: Lane, row: int) -> str:
    return f'<span class="slot next" data-key="next/{lane.id}" {_at(lane.reach, row)}>next</span>'


def _card(lane: Lane, cell: Cell, made: Drawing, row: int, *, edge: bool, sparks: bool) -> str:
    trial, column = cell.newest, made.columns[cell.column]
    opens = trial.id if trial else lane.last.trials[-1].id if lane.last.trials else lane.cells[-2].trials[-1].id
    tone = _tone(cell, won=lane.id == made.winner)
    name = f"baseline: {lane.label}" if lane.origin == "baseline" else lane.label
    words = _words(cell, column)
    mark = f'<span class="score">{score(mean(cell.scores))}</span>' if cell.scores and cell.place else ""
    spoken = f"{name}, {opens}: {words or 'training'}. Opens its pictures and curves."
    return (
        f'<button type="button" class="card {tone} {cell.fate}{" edge" if edge else ""}" data-key="{key(lane, cell)}" '
        f'data-trial="{esc(opens)}" aria-label="{esc(spoken)}" title="{esc(_title(cell, name))}" '
        f"{_at(cell.column, row)}>{_face(lane, cell, made)}"
        f'<span class="name">{esc(name)}</span>'
        f'<span class="words"><span class="tone">{esc(words)}</span>{mark}</span>'
        f'{_foot(cell, column, made, sparks=sparks)}<span class="progress"><i></i></span></button>'
    )


def _tone(cell: Cell, *, won: bool) -> str:
    return "good" if won and cell.fate == "ended" else _TONES.get(cell.fate, "quiet")


def _title(cell: Cell, name: str) -> str:
    """What a card tells on hover: its trials, and what became of them in full."""
    lines = [f"{t.id}, seed {t.seed}, {t.origin}: {trial_state(t) if t.outcome else 'open'}" for t in cell.trials]
    causes = [t.cause for t in cell.trials if t.cause]
    return "\n".join([name, *lines, *causes])


def _words(cell: Cell, column: Column) -> str:
    """How it stands, in two or three words; "" while it trains, which `now` tells."""
    if cell.open:
        return ""
    if column.round is Round.CONFIRMATION:
        return f"won {cell.won} of {cell.pairs}" if cell.pairs else "fresh prompts"
    if not cell.place:
        bad = next((t for t in cell.trials if t.score is None), None)
        return trial_state(bad) if bad else ""
    place = ordinal(cell.place)
    return {"ended": f"{place} so far", "out": f"{place}, out"}.get(cell.fate, place)


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _foot(cell: Cell, column: Column, made: Drawing, *, sparks: bool) -> str:
    """The card's last line: why it failed, how sure its score is, or its loss."""
    failed = next((t for t in cell.trials if t.score is None and t.cause), None)
    if failed is not None:
        return f'<span class="foot why">{esc(reason(failed.cause))}</span>'
    if column.round is Round.FINALS and cell.scores:
        return _interval(cell, made)
    if column.round is Round.CONFIRMATION:
        return (
            f'<span class="foot">{cell.pairs} of {counted(column.seeds, "fresh pair")}</span>' if column.seeds else ""
        )
    if sparks and cell.newest is not None:
        return f'<canvas class="foot" data-spark="{esc(cell.newest.id)}" width="240" height="32"></canvas>'
    return ""


def _interval(cell: Cell, made: Drawing) -> str:
    """Scores of all seeds on the finals' common scale: a bar from the worst to the best, a mark at their mean."""
    furthest = takewhile(lambda lane: lane.reach >= cell.column, made.lanes)
    every = [s for lane in furthest for c in lane.cells if c.column == cell.column for s in c.scores]
    worst, wide = max(every), (max(every) - min(every)) or 1.0
    own = mean(cell.scores), max(cell.scores), min(cell.scores)
    middle, left, right = ((worst - total) / wide * 100 for total in own)
    told = "mean {}, from {} to {}".format(*map(score, own))
    words = f"{told} over {counted(len(cell.scores), 'seed')}"
    return (
        f'<span class="foot range" title="{words}; further right is better"><i style="left:{left:.1f}%;'
        f'width:{right - left:.1f}%"></i><b style="left:{middle:.1f}%"></b></span>'
    )


def _face(lane: Lane, cell: Cell, made: Drawing) -> str:
    """The newest picture of the first prompt, the same one for everybody; until there is one, that of the round before,
    unless it failed. The duel's own pictures are not shown: a person may still vote on them blindly."""
    duel = made.columns[cell.column].round is Round.CONFIRMATION
    before = (
        [c for c in lane.cells if c.column <= cell.column - duel] if cell.open or duel or not cell.trials else [cell]
    )
    samples = next((c.newest.samples for c in reversed(before) if c.newest and c.newest.samples), ())
    step = max((s.step for s in samples), default=0)
    newest = next(iter(gallery.newest([s for s in samples if s.step == step]).values()), None)
    if newest is None:
        return '<span class="frame"></span>'
    return frame_html(newest.path)


def _champion(made: Drawing, verdict: str, standing: str, rows: int) -> list[str]:
    """The last column: who won, in the verdict's words, or the place that is kept for it."""
    number, tall = len(made.columns), 5
    place = _at(number, rows=max(rows, tall) + 1)
    head = f'<header data-key="head/{number}" {place}><b>Winner</b> <i>{_crown(made, verdict)}</i></header>'
    lane = next((x for x in made.lanes if x.id == made.winner), None)
    place = _at(number, 0, rows=tall)
    if lane is None or not verdict:
        said = f"<span>{esc(standing)}</span>"
        return [head, f'<span class="slot champion" data-key="champion" {_at(number, 0, rows=2)}>{said}</span>']
    finals = next((c for c in reversed(lane.cells) if c.newest is not None and c.newest.samples), lane.cells[-1])
    opens = finals.newest.id if finals.newest else lane.id
    said = verdict.replace("**", "")
    card = (
        f'<button type="button" class="card champion" data-key="champion" data-trial="{esc(opens)}" {place} '
        f'title="{esc(said)}">{_face(lane, finals, made)}<span class="name">{esc(lane.label)}</span>'
        f'<span class="verdict">{esc(said)}</span></button>'
    )
    return [head, card]


def _crown(made: Drawing, verdict: str) -> str:
    if verdict:
        return ""
    return "the finals' first, to be confirmed" if made.winner else "once the duel is over"


def _groups(groups: list[tuple[int, tuple[Lane, ...]]], made: Drawing) -> str:
    """The small faces, by where they came to, and how many more there are."""
    left, parts = MOST_FACES, []
    for column, lanes in groups:
        shown, left = lanes[:left], max(0, left - len(lanes))
        tiles = "".join(_tile(lane, made) for lane in shown)
        hidden = len(lanes) - len(shown)
        more = f" {hidden} of them are not drawn: the table in Results lists every trial." if hidden else ""
        parts.append(
            f'<section class="group" data-key="group/{column}" data-parts>'
            f'<header data-key="head"><b>{esc(_group_words(column, lanes, made))}</b><span>{esc(more)}</span>'
            f'<button type="button" class="unfold" aria-expanded="false">Show all</button></header>'
            f'<div class="tiles" data-key="tiles" data-parts>{tiles}</div></section>'
        )
    return "".join(parts)


def _group_words(column: int, lanes: tuple[Lane, ...], made: Drawing) -> str:
    c, n = made.columns[column], len(lanes)
    length = f"{c.steps} steps"
    if not c.closed:
        return f"{n} more in the rung of {length}" if c.round is Round.SEARCH else f"{n} more in this round"
    melted = sum(lane.last.fate == "failed" for lane in lanes)
    failed = f", {melted} of them without a score" if melted else ""
    return f"{n} more went out after {length}{failed}"


def _tile(lane: Lane, made: Drawing) -> str:
    cell, trial = lane.last, lane.last.trials[-1]
    state = trial_state(trial) if trial.outcome else "open"
    place = f", {ordinal(cell.place)}" if cell.place else ""
    words = f"{lane.label}: {state}{place}"
    return (
        f'<button type="button" class="tile {_tone(cell, won=False)} {cell.fate}" data-key="{key(lane, cell)}" '
        f'data-trial="{esc(trial.id)}" title="{esc(words)}" aria-label="{esc(words)}">{_face(lane, cell, made)}'
        f'<span class="progress"><i></i></span></button>'
    )
