"""The tournament as it is drawn: a column for every rung and round, a lane for every config. Pure: reads no disk.

Lanes are ordered so that lines never cross: who came further stands higher, and while a rung still runs its lanes stay
in the order they began, so that nothing moves before somebody goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bracket.domain import Config, Outcome, Round, mean
from bracket.search.rungs import Rung, key
from bracket.search.strategies.protocol import HALVING
from bracket.session.asked.settings import SessionSettings
from bracket.session.view import SessionView, TrialView

Fate = Literal["waiting", "busy", "ended", "through", "advanced", "out", "failed"]
"""How a config stands in one column: it waits (the session rests), trains, has ended and may yet go on, will go on,
went on, is out, or has no score because every trial of it failed."""
_BEHIND_FINALS = ("confirmation", "report", "done")
_BASELINE, _WINNER = "baseline", "winner"


@dataclass(frozen=True)
class Column:
    """A rung of the search, the finals, or the duel.

    Attributes:
        planned: configs it is to have; about: how many is decided as results come in. seeds: trainings of each.
        begun, ended: configs that have. closed: nobody goes on from here any more.
    """

    round: Round
    rung: int
    steps: int
    planned: int
    seeds: int = 1
    begun: int = 0
    ended: int = 0
    closed: bool = False
    about: bool = False


@dataclass(frozen=True)
class Cell:
    """A config in one column: its trials there, in the order they began.

    Attributes:
        trials: of several duels of the settings only the newest's, once it has some.
        place: 1 for the best of those with a score so far, 0 without one. In the duel nobody has a place.
        won, pairs: in the duel, the paired trainings that can be told and those this arm came out better in.
    """

    column: int
    trials: tuple[TrialView, ...]
    fate: Fate = "ended"
    place: int = 0
    won: int = 0
    pairs: int = 0

    @property
    def scores(self) -> tuple[float, ...]:
        """Total scores of its trials that have one; lower is better."""
        return tuple(t.score.total for t in self.trials if t.score is not None)

    @property
    def newest(self) -> TrialView | None:
        """The trial to show it by: the last that has pictures, or the last."""
        return next((t for t in reversed(self.trials) if t.samples), self.trials[-1] if self.trials else None)

    @property
    def open(self) -> bool:
        return any(t.outcome is None for t in self.trials)


@dataclass(frozen=True)
class Lane:
    """One config on its way; `id` is that of the first trial it had, `cells` are in the order of the columns."""

    id: str
    config: Config
    label: str
    origin: str
    cells: tuple[Cell, ...]

    @property
    def last(self) -> Cell:
        return self.cells[-1]

    @property
    def reach(self) -> int:
        """The column it has come to; one more than its last where it is sure to go on."""
        return self.last.column + (self.last.fate == "through")


@dataclass(frozen=True)
class Drawing:
    """Columns and lanes, the furthest first. `winner` is the lane that the finals leave, "" before."""

    columns: tuple[Column, ...]
    lanes: tuple[Lane, ...]
    winner: str = ""


def lay_out(
    view: SessionView,
    settings: SessionSettings,
    *,
    winner: Config | None = None,
    fresh: Collection[str] = (),
    seeds: Collection[int] = (),
) -> Drawing:
    """The drawing of a session.

    Args:
        winner: the config that leads the finals, which counts once they have ended.
        fresh: the arms, "winner" and "baseline", that drew the duel's fresh prompts.
        seeds: training seeds of the duel of the settings, of several the newest; those that are planned where empty.
    """
    columns = _columns(view, settings)
    if seeds and columns[-1].round is Round.CONFIRMATION:
        columns = (*columns[:-1], replace(columns[-1], seeds=len(seeds)))
    lanes = _lanes(view, columns)
    halving = settings.search.strategy in HALVING
    columns = _counted(columns, lanes, view, halving)
    over = next((c.closed for c in columns if c.round is Round.FINALS), False)
    leads = next((lane for lane in lanes if winner is not None and over and key(lane.config) == key(winner)), None)
    if leads is not None and leads.origin != _BASELINE:
        lanes = _with_duel([_newest(lane, len(columns) - 1, seeds) for lane in lanes], leads, columns, fresh, view)
    order = {t.id: n for n, t in enumerate(view.trials)}
    # Where finalists are taken from several rungs, or by two objectives, no place says beforehand who they are.
    lanes = _judged(lanes, columns, leads, foreseen=not halving and not settings.search.objectives)
    lanes = sorted(lanes, key=lambda lane: _rank(lane, columns, leads, order))
    return Drawing(columns, tuple(lanes), leads.id if leads else "")


def fold(drawing: Drawing, most: int) -> tuple[tuple[Lane, ...], list[tuple[int, tuple[Lane, ...]]]]:
    """What is drawn as lanes, and what is left for small faces, by the column it came to.

    With more than `most` lanes, those that went out in the first column are small, and of the rest those that train now
    and the first others have lanes.
    """
    lanes = drawing.lanes
    if len(lanes) <= most:
        return lanes, []
    first_over = drawing.columns[0].closed
    able = [lane for lane in lanes if not (lane.reach == 0 and first_over)]
    busy = [lane.id for lane in able if lane.last.fate == "busy"][: most // 2]
    others = [lane.id for lane in able if lane.id not in set(busy)][: most - len(busy)]
    kept = {*busy, *others}
    groups: dict[int, list[Lane]] = {}
    for lane in lanes:
        if lane.id not in kept:
            groups.setdefault(lane.reach, []).append(lane)
    return tuple(lane for lane in lanes if lane.id in kept), [(c, tuple(g)) for c, g in groups.items()]


def _columns(view: SessionView, settings: SessionSettings) -> tuple[Column, ...]:
    """What is planned, with what was trained where that differs."""
    rungs, s = settings.search_rungs(), settings
    deepest = max((t.rung for t in view.trials if t.round is Round.SEARCH), default=0)
    plans = [*rungs, *([Rung(0, 0, about=True)] * (deepest + 1 - len(rungs)))]
    found = [Column(Round.SEARCH, n, r.steps, r.configs, about=r.about) for n, r in enumerate(plans)]
    if s.search.configs > 1:
        finalists = min(s.finals.finalists, s.search.configs - 1) + 1
        found.append(Column(Round.FINALS, 0, s.finals.steps, finalists, s.finals.seeds))
        found.append(Column(Round.CONFIRMATION, 0, s.finals.steps, 2, s.confirmation.pairs))
    steps = {(t.round, t.rung): t.steps for t in view.trials}
    return tuple(replace(c, steps=steps.get((c.round, c.rung), c.steps)) for c in found)


def _lanes(view: SessionView, columns: Sequence[Column]) -> list[Lane]:
    """Every config once, in the order they began."""
    place = {(c.round, c.rung): n for n, c in enumerate(columns)}
    found: dict[str, dict[int, list[TrialView]]] = {}
    for trial in view.trials:
        column = place.get((trial.round, trial.rung))
        if column is not None:
            found.setdefault(key(trial.config), {}).setdefault(column, []).append(trial)
    return [_lane(by_column) for by_column in found.values()]


def _lane(by_column: Mapping[int, list[TrialView]]) -> Lane:
    cells = tuple(Cell(column, tuple(trials)) for column, trials in sorted(by_column.items()))
    first = cells[0].trials[0]
    origin = _BASELINE if any(t.origin == _BASELINE for c in cells for t in c.trials) else first.origin
    return Lane(first.id, first.config, first.label, origin, cells)


def _counted(
    columns: Sequence[Column], lanes: Sequence[Lane], view: SessionView, asynchronous: bool
) -> tuple[Column, ...]:
    """The columns with what has begun and ended in them, and whether they are closed."""
    cells = [c for lane in lanes for c in lane.cells]
    found = []
    for n, column in enumerate(columns):
        here = [c for c in cells if c.column == n]
        whole = column.seeds if column.round is Round.FINALS else 1
        ended = sum(not c.open and len(c.trials) >= whole for c in here)
        found.append(replace(column, begun=len(here), ended=ended))
    return tuple(replace(c, closed=_closed(found, n, view, asynchronous)) for n, c in enumerate(found))


def _closed(columns: Sequence[Column], number: int, view: SessionView, asynchronous: bool) -> bool:
    column = columns[number]
    phases = {Round.SEARCH: ("finals", *_BEHIND_FINALS), Round.FINALS: _BEHIND_FINALS, Round.CONFIRMATION: ("done",)}
    if view.state == "done" or view.phase in phases[column.round]:
        return True
    loose = asynchronous and column.round is Round.SEARCH
    if any(c.begun for c in columns[number + 1 :] if not (loose and c.round is Round.SEARCH)):
        return True
    return not loose and column.ended == column.begun >= max(column.planned, 1)


def _newest(lane: Lane, column: int, seeds: Collection[int]) -> Lane:
    """The lane with its newest pairs in the duel, once there are some."""
    if lane.last.column != column or not (mine := tuple(t for t in lane.last.trials if t.seed in seeds)):
        return lane
    return replace(lane, cells=(*lane.cells[:-1], replace(lane.last, trials=mine)))


def _with_duel(
    lanes: Sequence[Lane], leads: Lane, columns: Sequence[Column], fresh: Collection[str], view: SessionView
) -> list[Lane]:
    """The lanes with the duel's cells: fresh pairs counted; also where only pictures are compared, once there are
    some. The winner is told by its pairs with the baseline, everybody else by those with the winner."""
    arms = {**{lane.id: _BASELINE for lane in lanes if lane.origin == _BASELINE}, leads.id: _WINNER}
    column, running = len(columns) - 1, view.phase == "confirmation" and view.state == "running"
    duel: dict[str, Cell] = {}
    for lane in lanes:
        if lane.last.column == column:
            duel[lane.id] = lane.last
        elif arms.get(lane.id) in fresh:
            duel[lane.id] = Cell(column, (), "busy" if running else "ended")
    losses = {lane_id: _fresh_losses(cell) for lane_id, cell in duel.items()}
    baseline = next((i for i, arm in arms.items() if arm == _BASELINE), "")
    found = []
    for lane in lanes:
        if lane.id in duel:
            mine, theirs = losses[lane.id], losses.get(baseline if lane.id == leads.id else leads.id, {})
            both = mine.keys() & theirs.keys()
            cell = replace(duel[lane.id], pairs=len(both), won=sum(mine[s] < theirs[s] for s in both))
            lane = replace(lane, cells=(*(c for c in lane.cells if c.column != column), cell))
        found.append(lane)
    return found


def _fresh_losses(cell: Cell) -> dict[int, float]:
    """By training seed, one minus the mean judged score; the worst where it melted, as the duel counts it."""
    found = {t.seed: t.score.sample_part for t in cell.trials if t.score is not None}
    return found | {t.seed: 1.0 for t in cell.trials if t.outcome is Outcome.DIVERGED}


def _judged(lanes: Sequence[Lane], columns: Sequence[Column], leads: Lane | None, *, foreseen: bool) -> list[Lane]:
    """The lanes with places and fates."""
    places = [_places(lanes, n, column) for n, column in enumerate(columns)]
    baseline = next((lane.id for lane in lanes if lane.origin == _BASELINE), "")
    filling = any(c.round is Round.FINALS and _filling(c) for c in columns)
    found = []
    for lane in lanes:
        *before, last = lane.cells
        place = places[last.column].get(lane.id, 0)
        better = place - 1 - (0 < places[last.column].get(baseline, 0) < place)
        fate = _fate(last, lane, columns, better, leads)
        if not foreseen and columns[last.column].round is Round.SEARCH and fate in ("through", "out"):
            fate = "ended" if filling else "out"
        cells = (replace(c, place=places[c.column].get(lane.id, 0), fate="advanced") for c in before)
        found.append(replace(lane, cells=(*cells, replace(last, place=place, fate=fate))))
    return found


def _filling(column: Column) -> bool:
    return not column.closed and column.begun < column.planned


def _places(lanes: Sequence[Lane], number: int, column: Column) -> dict[str, int]:
    """Places by mean score, of those with as many scores as anybody: who melts on some seeds is not better for it."""
    if column.round is Round.CONFIRMATION:
        return {}
    scores = {lane.id: c.scores for lane in lanes for c in lane.cells if c.column == number and c.scores}
    most = max(map(len, scores.values()), default=0)
    order = sorted((i for i, s in scores.items() if len(s) == most), key=lambda i: mean(scores[i]))
    return {lane_id: n + 1 for n, lane_id in enumerate(order)}


def _fate(cell: Cell, lane: Lane, columns: Sequence[Column], better: int, leads: Lane | None) -> Fate:
    """How the last cell of a lane stands; `better` are the configs beside the baseline that stand above it."""
    column = columns[cell.column]
    if not cell.trials:
        return cell.fate
    if cell.open:
        return "waiting" if all(t.state == "waiting" for t in cell.trials if t.outcome is None) else "busy"
    if not cell.scores:
        return "failed"
    if column.round is Round.CONFIRMATION or not column.closed:
        return "ended"
    following = columns[cell.column + 1] if cell.column + 1 < len(columns) else column
    if column.round is Round.FINALS:
        first = leads is not None and lane.id == leads.id
        duel = leads is not None and leads.origin != _BASELINE and (first or lane.origin == _BASELINE)
        return "through" if duel and not following.closed else "advanced" if first else "out"
    sure = lane.origin == _BASELINE or better < following.planned - 1
    return "through" if sure and not following.closed else "out"


def _rank(lane: Lane, columns: Sequence[Column], leads: Lane | None, order: Mapping[str, int]) -> tuple[float, ...]:
    """What lanes are sorted by: who came further, who leads; then places where a column is closed, elsewhere the order
    in which they began."""
    cell = lane.last
    through = cell.fate == "through"
    behind = leads is None or lane.id != leads.id
    if through and lane.origin == _BASELINE:
        place = 0.0
    elif cell.place and (through or columns[cell.column].closed):
        place = float(cell.place)
    else:
        place = len(order) + order[cell.trials[0].id] if cell.trials else 0.0
    return (-lane.reach, behind, through, place)
