"""Playing many sessions and grading what they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.tabular.flows import FULL, Flow
from tests.benchmarks.tabular.table import Table, cell_of

WITHIN = 0.02


@dataclass(frozen=True)
class Grade:
    """Many sessions of one flow.

    Attributes:
        cost: mean training steps of a session, in full-length trainings.
        reached: share of sessions whose choice is really within 2 % of the best config known.
        regret: mean shortfall of the choice, as a share of the best.
    """

    name: str
    cost: float
    reached: float
    regret: float

    def __str__(self) -> str:
        graded = f"within 2 %: {self.reached:6.1%}   regret {self.regret:6.1%}"
        return f"{self.name:<46} {self.cost:7.2f} full trainings   {graded}"


def grade(name: str, flow: Flow, table: Table, sessions: Sequence[int]) -> Grade:
    """Play a flow's sessions and grade each choice by the checker, which no strategy sees."""
    truth = table.final
    best = float(truth.max())
    played = [flow(table, session) for session in sessions]
    chosen = np.array([truth[cell_of(e.config)] for e in played])
    steps = np.array([e.steps for e in played])
    return Grade(
        name,
        float(steps.mean()) / FULL,
        float((chosen >= (1 - WITHIN) * best).mean()),
        float((1 - chosen / best).mean()),
    )
