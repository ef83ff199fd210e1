"""A trial's curves under the house's names, wherever its trainer writes them: tfevents files or a SQLite database."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

import numpy as np

from bracket.domain import Problem, Trace
from bracket.errors import StorageError
from bracket.files import read_json, write_json
from bracket.runner.reading.events import Curve, EventReader, merge, pace

_FILE = "trace.json"
_BEFORE = "loss/validation"
"""What can be measured before the first optimiser step; on step 0, any other curve has a half-accumulated one."""
_ADAPTED = re.compile(r"lr/d\*(?:eff_)?lr(?:/(?P<group>.+))?")
"""The rate that Prodigy and its like really step with, where `lr/GROUP` has the factor they were given, 1."""
_GROUP = re.compile(r"lr/group\d+")
"""sd-scripts' rates once more, by number."""
_DATABASES = frozenset({".db", ".sqlite", ".sqlite3"})
_WINDOW = 50
"""How many of the newest points the speed is measured over."""
_PATIENCE = 0.5
"""Seconds to wait for a database that its writer has locked."""
_NEW_ROWS = """
    SELECT metrics.rowid, metrics.step, metrics.key, metrics.value_real, metrics.value_text, steps.wall_time
    FROM metrics LEFT JOIN steps ON steps.step = metrics.step
    WHERE metrics.rowid > ? ORDER BY metrics.rowid
"""
_ROW = """
    SELECT metrics.step, metrics.key, steps.wall_time
    FROM metrics LEFT JOIN steps ON steps.step = metrics.step WHERE metrics.rowid = ?
"""


class TraceReader(Protocol):
    """Reads one trial's curves as they grow. What it reads from may not exist yet."""

    @property
    def problems(self) -> list[Problem]:
        """What can't be read; what was read before stays."""
        ...

    @property
    def size(self) -> int:
        """A number that grows whenever something was read."""
        ...

    def read_new(self) -> dict[str, Curve]:
        """The points that came since the last call, by house name, in the order they were written.

        A resumed run repeats steps: join with `events.merge`, where the later value wins.
        """
        ...

    def read_all(self) -> dict[str, Curve]:
        """Every point there is now, by house name, one per step in order of steps; `read_new` is not touched."""
        ...

    def speed(self, tag: str, since: float = 0.0) -> float | None:
        """Steps per second of a curve's newest points written after `since` (unix time); None when unknown."""
        ...


def open_trace(trace: Trace) -> TraceReader:
    """The reader for a trace: of a database if its path is called so (`.db`, `.sqlite`), else of a tfevents folder."""
    return SqliteLog(trace) if trace.path.suffix in _DATABASES else EventTrace(trace)


def write_trace(folder: Path, trace: Trace) -> None:
    """Keeps in a trial's folder where its curves are; a path inside it may move with it. Raises StorageError."""
    path = trace.path.relative_to(folder) if trace.path.is_relative_to(folder) else trace.path.absolute()
    write_json(folder / _FILE, {"path": path.as_posix(), "tags": dict(trace.tags)})


def read_trace(folder: Path) -> Trace:
    """Where a trial's curves are: as `write_trace` kept it, else in its `tfevents` under the house's own names.

    Raises:
        StorageError: the record is damaged.
    """
    file = folder / _FILE
    if not file.exists():
        return Trace(folder / "tfevents")
    record = read_json(file)
    try:
        return Trace(folder / str(record["path"]), {str(tag): str(name) for tag, name in record["tags"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError("This record of a trial's curves is damaged", path=file, remedy="Delete it.") from error


class EventTrace:
    """The tfevents files under a folder, with the trainer's tags renamed.

    sd-scripts and musubi log every micro-batch: with gradient accumulation a step number comes several times, the first
    ones as step 0. The last point of a step counts, and step 0 is no step of training.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._reader = EventReader(trace.path)

    @property
    def problems(self) -> list[Problem]:
        """Damaged event files."""
        return self._reader.problems

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return self._reader.size

    def read_new(self) -> dict[str, Curve]:
        """See `TraceReader`."""
        return _named(self.trace.tags, self._reader.read_new())

    def read_all(self) -> dict[str, Curve]:
        """See `TraceReader`."""
        return _in_order(_named(self.trace.tags, self._reader.read_all()))

    def speed(self, tag: str, since: float = 0.0) -> float | None:
        """See `TraceReader`."""
        own = [own for own, name in self.trace.tags.items() if name == tag]
        speeds = (self._reader.speed(name, since) for name in [*own, tag])
        return next((speed for speed in speeds if speed is not None), None)


class SqliteLog:
    """AI-Toolkit's `loss_log.db`: tables `steps(step, wall_time)` and `metrics(step, key, value_real, value_text)`.

    It is in WAL mode, and its writer may be at work: it is opened for reading only, anew for each read, and a database
    that is missing, locked or still without tables has nothing new. A resumed run deletes the steps that come after its
    start and trains that step again; everything is then read from the beginning.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.problems: list[Problem] = []
        self._rows = 0
        self._last: tuple[int, tuple[object, ...] | None] = (0, None)
        self._recent: dict[str, list[tuple[int, float]]] = {}

    @property
    def size(self) -> int:
        """Rows read so far."""
        return self._rows

    def read_new(self) -> dict[str, Curve]:
        """See `TraceReader`; costs as much as there are new rows."""
        rows = self._query()
        found: defaultdict[str, list[tuple[int, float, float]]] = defaultdict(list)
        for _, step, key, value, text, written in rows:
            if text is None:  # a NaN is stored as NULL
                found[key].append((int(step), float("nan") if value is None else float(value), float(written or 0)))
        self._rows += len(rows)
        for key, points in found.items():
            newest = [(step, written) for step, _, written in points[-_WINDOW:]]
            self._recent[key] = [*self._recent.get(key, []), *newest][-_WINDOW:]
        return _named(self.trace.tags, {key: _curve(points) for key, points in found.items()})

    def read_all(self) -> dict[str, Curve]:
        """See `TraceReader`."""
        return _in_order(SqliteLog(self.trace).read_new())

    def speed(self, tag: str, since: float = 0.0) -> float | None:
        """See `TraceReader`."""
        keys = [*(key for key, name in self.trace.tags.items() if name == tag), tag]
        recent = next((self._recent[key] for key in keys if key in self._recent), [])
        return pace([point for point in recent if point[1] >= since])

    def _query(self) -> list[tuple[int, int, str, float | None, str | None, float | None]]:
        if not self.trace.path.is_file():
            return []
        try:
            with closing(self._open()) as database:
                database.execute("BEGIN")  # one look at one state
                rowid, seen = self._last
                if rowid and database.execute(_ROW, (rowid,)).fetchone() != seen:
                    rowid, self._recent = 0, {}  # pruned by a resume; row numbers are used again
                rows = database.execute(_NEW_ROWS, (rowid,)).fetchall()
        except sqlite3.OperationalError:
            return []  # locked, or made a moment ago and still without tables
        except sqlite3.DatabaseError as error:
            remedy = "Its curves end there; training itself is not affected."
            self.problems = [Problem("warning", f"the loss log can't be read: {error}", remedy, self.trace.path)]
            return []
        self.problems = []
        if rows:
            number, step, key, _, _, written = rows[-1]
            self._last = (number, (step, key, written))
        return rows

    def _open(self) -> sqlite3.Connection:
        path = self.trace.path
        at_work = any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))
        # Of a closed database even a reader would make -wal and -shm files, which fails in a read-only folder.
        address = f"{path.absolute().as_uri()}?mode=ro{'' if at_work else '&immutable=1'}"
        return sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)


def _named(tags: Mapping[str, str], curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Curves under the house's names, each without what is no step of training."""
    found: dict[str, Curve] = {}
    for tag, curve in _effective(curves).items():
        name = tags.get(tag, tag)
        if name:
            steps, values = _cleaned(name, curve)
            known = found.get(name, (steps[:0], values[:0]))
            found[name] = np.concatenate([known[0], steps]), np.concatenate([known[1], values])
    return {name: curve for name, curve in found.items() if len(curve[0])}


def _effective(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Learning rates as they are stepped with, each group's once."""
    found = {tag: curve for tag, curve in curves.items() if not (_GROUP.fullmatch(tag) or _ADAPTED.fullmatch(tag))}
    for tag in sorted(curves, reverse=True):  # d*eff_lr, where there is one, stands above d*lr
        match = _ADAPTED.fullmatch(tag)
        if match and not _GROUP.fullmatch(f"lr/{match['group']}"):
            found[f"lr/{match['group'] or 'unet'}"] = curves[tag]
    return found


def _cleaned(name: str, curve: Curve) -> Curve:
    """The last of each run of points on one step; without step 0 where that is before training."""
    steps, values = curve
    keep = np.append(steps[1:] != steps[:-1], True)[: len(steps)]
    if not name.startswith(_BEFORE):
        keep &= steps > 0
    return steps[keep], values[keep]


def _in_order(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    return {name: merge((steps[:0], values[:0]), (steps, values)) for name, (steps, values) in curves.items()}


def _curve(points: Iterable[tuple[int, float, float]]) -> Curve:
    steps, values, _ = zip(*points, strict=True)
    return np.array(steps, np.int64), np.array(values, np.float64)
