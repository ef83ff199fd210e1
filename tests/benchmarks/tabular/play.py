"""Playing many sessions, keeping what they ended with, and grading what they name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bracket.files import append_json, read_json_lines
from tests.benchmarks.tabular.flows import Ended, Flow
from tests.benchmarks.tabular.grid import Plan
from tests.benchmarks.tabular.table import Table, data_file

WITHIN = 0.02
ROOT = Path(__file__).resolve().parents[3]
SOURCES = (
    *("bracket/search/*.py", "bracket/session/score.py", "bracket/stats/concordance.py", "bracket/stats/melting.py"),
    *("bracket/stats/process.py", "tests/benchmarks/tabular/[fgrt]*.py"),
)


@dataclass(frozen=True)
class Grade:
    """Many sessions of one flow.

    Attributes:
        cost: mean training steps of a session, in full-length trainings.
        reached: share of sessions whose choice is really within 2 % of the best config known.
        regret: mean shortfall of the choice, as a share of the best.
        sessions: how many.
    """

    name: str
    cost: float
    reached: float
    regret: float
    sessions: int

    def __str__(self) -> str:
        graded = f"within 2 %: {self.reached:6.1%} of {self.sessions}   regret {self.regret:6.1%}"
        return f"{self.name:<46} {self.cost:7.2f} full trainings   {graded}"


def grade(name: str, flow: Flow, table: Table, sessions: Sequence[int]) -> Grade:
    """Play a flow's sessions and grade them."""
    return graded(name, [flow(table, session) for session in sessions], table)


def graded(name: str, ended: Sequence[Ended], table: Table) -> Grade:
    """Grade sessions by the checker's view of what they named, which no strategy sees."""
    short = shortfalls(ended, table)
    cost = float(np.mean([e.steps for e in ended])) / table.plan.full
    return Grade(name, cost, float((short <= WITHIN).mean()), float(short.mean()), len(ended))


def shortfalls(ended: Sequence[Ended], table: Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How far each session's choice falls short of the best config, as a share of the best."""
    truth = table.final.astype(float)
    chosen = np.array([truth[table.plan.nearest(e.config)] for e in ended])
    return 1.0 - chosen / truth.max()


class Kept:
    """Sessions that ended, a line each, so that a thousand may add up over days. Lines that other code or another
    table wrote count for nothing.

    Args:
        path: None to keep them in memory alone.
        plan, concept, world: what they are played on.
    """

    def __init__(self, path: Path | None, plan: Plan, concept: str, world: str) -> None:
        self._path, self._world, self._edition = path, [plan.name, concept, world], edition(plan)
        self._ended: dict[str, dict[int, Ended]] = {}
        for line in read_json_lines(path) if path else ():
            if line.get("edition") == self._edition and line.get("world") == self._world:
                self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        of_method = self._ended.setdefault(str(line["method"]), {})
        of_method[int(line["session"])] = Ended(int(line["steps"]), line["config"])

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            self._take(line)
            if self._path:
                append_json(self._path, {"edition": self._edition, "world": self._world, **line})

    def sessions(self, method: str) -> dict[int, Ended]:
        """What the sessions of one method ended with, by their number."""
        return dict(sorted(self._ended.get(method, {}).items()))


@cache
def edition(plan: Plan) -> str:
    """A hash of all that a session's end on this table follows from."""
    digest = hashlib.sha256()
    found = [path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]
    for path in [*found, data_file(plan)]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:12]
