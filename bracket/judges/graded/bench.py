"""Measures a judge on a graded set: how often it orders a pair rightly, how often it flips, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bracket.domain import Judgement, Preference, Sample, mean
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.files import write_json, write_text
from bracket.judges.base import Judge
from bracket.judges.graded.pairs import Pair
from bracket.runner.devices import cores, devices
from bracket.stats.duel.rates import win_rate_interval

ALL_KINDS, ALL_LEVELS = "all", 0
MARKDOWN, JSON = "bench.md", "bench.json"

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rate:
    """How often it was right, 0..1 (a tie counts half), with its 95 % interval (`stats.win_rate_interval`).

    `unanswered` is the share of pairs in which it gave no judgement of a picture; they count as ties.
    """

    right: float
    low: float
    high: float
    unanswered: float


@dataclass(frozen=True)
class Row:
    """What a judge made of the pairs of one kind (`ALL_KINDS` for every one) and one level (`ALL_LEVELS`).

    Attributes:
        score: the better picture had the higher score.
        compare: it was preferred when both were put beside each other.
        tied: share of the pairs whose comparison had no winner, those that flipped among them.
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
    score: float | None
    compare: float | None
    flipped: bool


def measure(judge: Judge, pairs: Sequence[Pair], model: str = "", progress: Progress | None = None) -> Table:
    """Lets the judge score and compare every pair.

    The pictures of one kind and level are scored together, as a trial's are; so are the good ones they belong to. For
    `Speed.first` and `pictures` to say what they mean, the judge and its cache must be new.

    Args:
        pairs: at least one.
        model: name of the judge's model, for the table.
        progress: called with (cells done, cells in all).

    Raises:
        JudgeError: the judge can't work; one that fails on a picture by name is asked again without it.
        JudgeUnavailable: it can't be asked now.
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("there is nothing to measure")
    cells: dict[tuple[str, int], list[Pair]] = {}
    for pair in pairs:
        cells.setdefault((pair.kind, pair.level), []).append(pair)
    first, _ = _timed(partial(_score, judge, [pairs[0].better]))
    batches = list(dict.fromkeys(batch for cell in cells.values() for batch in _batches(cell)))
    scored: dict[tuple[Sample, ...], list[Judgement | None]] = {}
    outcomes: list[_Outcome] = []
    scoring = comparing = 0.0
    for done, cell in enumerate(cells.values(), 1):
        for batch in _batches(cell):
            if batch not in scored:
                seconds, scored[batch] = _timed(partial(_score, judge, batch))
                scoring += seconds
        seconds, compared = _timed(partial(_compare, judge, cell))
        comparing += seconds
        better, worse = (scored[batch] for batch in _batches(cell))
        outcomes += [_outcome(*answers) for answers in zip(cell, better, worse, compared, strict=True)]
        if progress:
            progress(done, len(cells))
    again, _ = _timed(lambda: [_score(judge, batch) for batch in batches])
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
    gaps = ["no answer"] if any(getattr(row, by).unanswered for row in table.rows) else []
    head = "right by score, %" if by == "score" else "right side by side, %"
    grid = [[head, *(f"level {n}" for n in levels), "all", "95 % interval", *compared, *gaps]]
    measured = {(row.kind, row.level): row for row in table.rows}
    for kind in kinds:
        whole = table.row(kind)
        rate: Rate = getattr(whole, by)
        cells = [measured.get((kind, level)) for level in levels]
        line = [kind, *(f"{100 * getattr(c, by).right:.0f}" if c else "" for c in cells)]
        line += [f"{100 * rate.right:.1f}", f"{100 * rate.low:.1f}–{100 * rate.high:.1f}"]
        more = [whole.tied, whole.flipped] if compared else []
        grid.append([*line, *(f"{100 * share:.1f}" for share in [*more, *([rate.unanswered] if gaps else [])])])
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


def _score(judge: Judge, batch: Sequence[Sample]) -> list[Judgement | None]:
    return _without_the_failing(judge.score, batch, lambda sample: [sample])


def _compare(judge: Judge, cell: Sequence[Pair]) -> list[Preference | None]:
    """In every second pair the worse one comes first."""
    asked = [(p.worse, p.better) if n % 2 else (p.better, p.worse) for n, p in enumerate(cell)]
    return _without_the_failing(judge.compare, asked, list)


def _without_the_failing(
    ask: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    pictures: Callable[[Item], Sequence[Sample]],
) -> list[Result | None]:
    """An answer an item; None for those whose picture the judge fails on."""
    found: list[Result | None] = [None] * len(items)
    left = list(range(len(items)))
    while left:
        try:
            for n, result in zip(left, ask([items[n] for n in left]), strict=True):
                found[n] = result
            break
        except JudgeUnavailable:
            raise
        except JudgeError as error:
            failing = [n for n in left if any(str(s.path) == str(error.path) for s in pictures(items[n]))]
            if not failing:
                raise
            left = [n for n in left if n not in failing]
    return found


def _outcome(pair: Pair, better: Judgement | None, worse: Judgement | None, said: Preference | None) -> _Outcome:
    score = None
    if better and worse:
        score = 0.5 if better.score == worse.score else float(better.score > worse.score)
    if said is None:
        return _Outcome(pair, score, None, False)
    value = said.value if said.a == pair.better else 1 - said.value
    # A judge may say how sure it is; here only its choice counts.
    return _Outcome(pair, score, 0.5 if value == 0.5 else float(value > 0.5), said.flipped)


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
    return Row(
        kind,
        level,
        len(outcomes),
        _rate(outcomes, [o.score for o in outcomes]),
        _rate(outcomes, [o.compare for o in outcomes]),
        mean([float(o.compare == 0.5) for o in outcomes]),
        mean([float(o.flipped) for o in outcomes]),
    )


def _rate(outcomes: Sequence[_Outcome], answers: Sequence[float | None]) -> Rate:
    """With the interval that holds although pairs of one good picture go together."""
    right = [0.5 if answer is None else answer for answer in answers]
    groups: dict[Sample, list[float]] = {}
    for outcome, value in zip(outcomes, right, strict=True):
        groups.setdefault(outcome.pair.better, []).append(value)
    even = len({len(values) for values in groups.values()}) == 1
    low, high, _ = win_rate_interval(list(groups.values()) if even else [[value] for value in right])
    return Rate(mean(right), low, high, mean([float(answer is None) for answer in answers]))


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def _per_second(count: int, seconds: float) -> float:
    return count / max(seconds, 1e-9)
