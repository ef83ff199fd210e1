"""Measures a judge on a graded set: how often it orders a pair rightly, how often it flips, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bracket.domain import Judgement, Sample, mean
from bracket.files import write_json, write_text
from bracket.judges.base import Judge
from bracket.judges.graded import Pair
from bracket.runner.devices import cores, devices
from bracket.stats.claims import win_rate_interval

ALL_KINDS, ALL_LEVELS = "all", 0
MARKDOWN, JSON = "bench.md", "bench.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rate:
    """How often it was right, 0..1 (a tie counts half), with its 95 % interval (`stats.claims.win_rate_interval`)."""

    right: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """What a judge made of the pairs of one kind (`ALL_KINDS` for every one) and one level (`ALL_LEVELS`).

    Attributes:
        score: the better picture had the higher score.
        compare: it was preferred when both were put beside each other.
        tied: share of the comparisons without a winner, those that flipped among them.
        flipped: share in which the two orders of showing them gave opposite answers.
    """

    kind: str
    level: int
    pairs: int
    score: Rate
    compare: Rate
    tied: float
    flipped: float


@dataclass(frozen=True)
class Speed:
    """What it takes.

    Attributes:
        first: seconds to the first score, model and training pictures loaded.
        pictures: a second, scored after that.
        pairs: a second, compared after their pictures were scored.
        again: pictures a second when all were scored before.
    """

    first: float
    pictures: float
    pairs: float
    again: float


@dataclass(frozen=True)
class Table:
    """A judge, measured. `model` is what a reader knows it by, `remarks` are what it says of its own work."""

    judge: str
    model: str
    fingerprint: str
    machine: str
    rows: tuple[Row, ...]
    speed: Speed
    remarks: tuple[str, ...] = ()

    def row(self, kind: str = ALL_KINDS, level: int = ALL_LEVELS) -> Row:
        """Raises KeyError when nothing of that kind and level was measured."""
        for row in self.rows:
            if (row.kind, row.level) == (kind, level):
                return row
        raise KeyError((kind, level))


@dataclass(frozen=True)
class _Outcome:
    pair: Pair
    score: float
    compare: float
    flipped: bool


def measure(judge: Judge, pairs: Sequence[Pair], model: str = "", progress: Progress | None = None) -> Table:
    """Lets the judge score and compare every pair.

    The pictures of one kind and level are scored together, as a trial's are; so are the good ones they belong to. In
    every second pair the worse picture is shown first. For `Speed.first` and `pictures` to say what they mean, the
    judge and its cache must be new.

    Args:
        pairs: at least one.
        model: name of the judge's model, for the table.
        progress: called with (cells done, cells in all).

    Raises:
        JudgeError: the judge can't work, or a picture can't be read.
        JudgeUnavailable: it can't be asked now.
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("there is nothing to measure")
    cells: dict[tuple[str, int], list[Pair]] = {}
    for pair in pairs:
        cells.setdefault((pair.kind, pair.level), []).append(pair)
    first, _ = _timed(partial(judge.score, [pairs[0].better]))
    batches = list(dict.fromkeys(batch for cell in cells.values() for batch in _batches(cell)))
    scored: dict[tuple[Sample, ...], list[Judgement]] = {}
    outcomes: list[_Outcome] = []
    scoring = comparing = 0.0
    for done, cell in enumerate(cells.values(), 1):
        for batch in _batches(cell):
            if batch not in scored:
                seconds, scored[batch] = _timed(partial(judge.score, batch))
                scoring += seconds
        seconds, compared = _timed(partial(_compare, judge, cell))
        comparing += seconds
        better, worse = (scored[batch] for batch in _batches(cell))
        for pair, a, b, (value, flipped) in zip(cell, better, worse, compared, strict=True):
            outcomes.append(_Outcome(pair, _order(a.score, b.score), value, flipped))
        if progress:
            progress(done, len(cells))
    again, _ = _timed(lambda: [judge.score(batch) for batch in batches])
    pictures = len({sample for batch in batches for sample in batch})
    speed = Speed(
        first,
        _per_second(pictures - 1, scoring),
        _per_second(len(pairs), comparing),
        _per_second(sum(len(batch) for batch in batches), again),
    )
    return Table(judge.name, model, judge.fingerprint, machine(), _rows(outcomes), speed, tuple(judge.remarks()))


def machine() -> str:
    """What this machine computes on, in a few words."""
    found = devices()
    name = found[0].name if len(found) == 1 else f"{len(found)} × {found[0].name}"
    return f"{name}, {cores()} CPU cores"


def write_tables(tables: dict[str, Table], folder: Path) -> None:
    """`bench.md` and `bench.json` of tables by their sets' names. Raises StorageError."""
    write_text(folder / MARKDOWN, "\n".join(line for n, t in tables.items() for line in [*markdown(n, t), ""]))
    write_json(folder / JSON, {name: to_json(table) for name, table in tables.items()})


def to_json(table: Table) -> dict[str, Any]:
    """As plain data, shares 0..1, level 0 for all levels."""
    return asdict(table)


def text(name: str, table: Table) -> list[str]:
    """The table as aligned lines."""
    lines = [_title(name, table)]
    for grid in (_grid(table, "score"), _grid(table, "compare")):
        widths = [max(len(row[n]) for row in grid) for n in range(len(grid[0]))]
        lines.append("")
        for row in grid:
            padded = [c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  ".join(padded).rstrip())
    return [*lines, "", *_notes(table)]


def markdown(name: str, table: Table) -> list[str]:
    """The table as lines of Markdown."""
    lines = [f"### {_title(name, table)}"]
    for grid in (_grid(table, "score"), _grid(table, "compare")):
        head, *body = (f"| {' | '.join(row)} |" for row in grid)
        lines += ["", head, "|---" + "|---:" * (len(grid[0]) - 1) + "|", *body]
    return [*lines, "", *_notes(table)]


def _title(name: str, table: Table) -> str:
    judge = f"{table.judge} {table.model}".strip()
    return f"{name}: {table.row().pairs} pairs, judge {judge} ({table.fingerprint}), {table.machine}"


def _grid(table: Table, by: str) -> list[list[str]]:
    """Percentages: a line a kind and one for all, a column a level and more for all levels together."""
    kinds = list(dict.fromkeys(row.kind for row in table.rows))
    levels = sorted({row.level for row in table.rows if row.level != ALL_LEVELS})
    compared = ["tied", "flipped"] if by == "compare" else []
    head = "right by score, %" if by == "score" else "right side by side, %"
    grid = [[head, *(f"level {n}" for n in levels), "all", "95 % interval", *compared]]
    measured = {(row.kind, row.level): row for row in table.rows}
    for kind in kinds:
        whole = table.row(kind)
        rate: Rate = getattr(whole, by)
        cells = [measured.get((kind, level)) for level in levels]
        line = [kind, *(f"{100 * getattr(c, by).right:.0f}" if c else "" for c in cells)]
        line += [f"{100 * rate.right:.1f}", f"{100 * rate.low:.1f}–{100 * rate.high:.1f}"]
        grid.append(line + ([f"{100 * whole.tied:.1f}", f"{100 * whole.flipped:.1f}"] if compared else []))
    return grid


def _notes(table: Table) -> list[str]:
    speed = table.speed
    said = (
        f"First picture after {speed.first:.1f} s, then {_figure(speed.pictures)} pictures a second to score and "
        f"{_figure(speed.pairs)} pairs a second to compare; from the cache {_figure(speed.again)} pictures a second."
    )
    return [said, *table.remarks]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _batches(cell: Iterable[Pair]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The better and the worse pictures of a cell, each to be scored as one trial's."""
    cell = tuple(cell)
    return tuple(p.better for p in cell), tuple(p.worse for p in cell)


def _compare(judge: Judge, cell: Sequence[Pair]) -> list[tuple[float, bool]]:
    """How far the better picture is preferred, 0..1, and whether the orders disagreed."""
    turned = [n % 2 == 1 for n in range(len(cell))]
    asked = [(p.worse, p.better) if t else (p.better, p.worse) for p, t in zip(cell, turned, strict=True)]
    answers = judge.compare(asked)
    return [(1 - a.value if t else a.value, a.flipped) for a, t in zip(answers, turned, strict=True)]


def _order(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)


def _rows(outcomes: Sequence[_Outcome]) -> tuple[Row, ...]:
    """Of every kind its levels and all of them, and last of all kinds each level and everything."""
    kinds = list(dict.fromkeys(o.pair.kind for o in outcomes))
    levels = sorted({o.pair.level for o in outcomes})
    rows = []
    for kind in (*kinds, ALL_KINDS):
        for level in (*levels, ALL_LEVELS):
            some = [o for o in outcomes if kind in (o.pair.kind, ALL_KINDS) and level in (o.pair.level, ALL_LEVELS)]
            if some:
                rows.append(_row(kind, level, some))
    return tuple(rows)


def _row(kind: str, level: int, outcomes: Sequence[_Outcome]) -> Row:
    compared = [_won(o.compare) for o in outcomes]
    return Row(
        kind,
        level,
        len(outcomes),
        _rate(outcomes, [o.score for o in outcomes]),
        _rate(outcomes, compared),
        mean([float(value == 0.5) for value in compared]),
        mean([float(o.flipped) for o in outcomes]),
    )


def _won(value: float) -> float:
    """A judge may say how sure it is; here only its choice counts."""
    return 0.5 if value == 0.5 else float(value > 0.5)


def _rate(outcomes: Sequence[_Outcome], right: Sequence[float]) -> Rate:
    """With the interval that holds although pairs of one good picture go together."""
    groups: dict[Sample, list[float]] = {}
    for outcome, value in zip(outcomes, right, strict=True):
        groups.setdefault(outcome.pair.better, []).append(value)
    even = len({len(values) for values in groups.values()}) == 1
    low, high, _ = win_rate_interval(list(groups.values()) if even else [[value] for value in right])
    return Rate(mean(right), low, high)


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def _per_second(count: int, seconds: float) -> float:
    return count / max(seconds, 1e-9)
